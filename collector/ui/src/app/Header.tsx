// The line on top: name, cluster, views, how it stands with the stream, settings, help.

import { CLOSED, VIEWS, type View } from "../core/place";
import type { Surroundings } from "../core/types";
import { Text } from "../parts/Text";
import { useAsked } from "./asked";
import { go, href, usePlace } from "./here";
import { showKeys } from "./Keys";
import { useLive } from "./live";
import { change, DENSITIES, next, THEMES, TIMES, useSettings } from "./settings";

const NAMES: Record<View, string> = { pulls: "Pulls", workloads: "Workloads", nodes: "Nodes", images: "Images" };

const HOUR = 3_600_000;

/** What does not change while the collector runs. */
export const useSurroundings = (): Surroundings | undefined => useAsked<Surroundings>("api/v1/ui", HOUR).answer;

export function Header() {
  const { view, q } = usePlace();
  const { theme, times, density } = useSettings();
  const surroundings = useSurroundings();
  return (
    <header className="header">
      <h1 className="brand">
        <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" fill="var(--blue)">
          <rect x="1" y="2" width="14" height="3" rx="1" />
          <rect x="1" y="6.5" width="9.5" height="3" rx="1" />
          <rect x="1" y="11" width="5.5" height="3" rx="1" />
        </svg>
        Pulltrace
      </h1>
      {surroundings?.cluster && (
        <span className="cluster" title="Cluster">
          <Text>{surroundings.cluster}</Text>
        </span>
      )}
      <nav aria-label="Views">
        {VIEWS.map((name) => (
          <a
            key={name}
            href={href({ view: name, ...CLOSED, by: undefined })}
            aria-current={view === name ? "page" : undefined}
            onClick={(event) => {
              if (event.metaKey || event.ctrlKey || event.shiftKey) return;
              event.preventDefault();
              go({ view: name, q, ...CLOSED, by: undefined });
            }}
          >
            {NAMES[name]}
          </a>
        ))}
      </nav>
      <Live />
      <div className="settings">
        <Setting name="Times" value={times} sign={SIGNS.times} onClick={() => change({ times: next(TIMES, times) })} />
        <Setting name="Rows" value={density} sign={SIGNS.density} onClick={() => change({ density: next(DENSITIES, density) })} />
        <Setting name="Theme" value={theme} sign={SIGNS.theme} onClick={() => change({ theme: next(THEMES, theme) })} />
        <button type="button" className="button bare" title="Keys and query language (?)" aria-label="Help" onClick={showKeys}>
          ?
        </button>
      </div>
    </header>
  );
}

const SIGNS = {
  times: "M8 2.2a5.8 5.8 0 1 1 0 11.6A5.8 5.8 0 0 1 8 2.2M8 4.8V8l2.2 1.4",
  density: "M2.5 4h11M2.5 8h11M2.5 12h11",
  theme: "M8 2.2a5.8 5.8 0 1 1 0 11.6A5.8 5.8 0 0 1 8 2.2M8 2.2v11.6M8 4.5a3.5 3.5 0 0 1 0 7",
};

/** A button that goes from one choice to the next. */
function Setting({ name, value, sign, onClick }: { name: string; value: string; sign: string; onClick(): void }) {
  return (
    <button type="button" className="button bare" title={`${name}: ${value}`} onClick={onClick}>
      <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true" fill="none" stroke="currentColor" strokeWidth="1.4" strokeLinecap="round">
        <path d={sign} />
      </svg>
      <span className="off-screen">{`${name}: `}</span>
      <span className="setting-value">{value}</span>
    </button>
  );
}

/** Whether what is shown is true now. */
function Live() {
  const { status } = useLive();
  const words = { live: "live", connecting: "connecting", away: "reconnecting" }[status.kind];
  return (
    <span className={`live ${status.kind}`} role="status">
      <svg viewBox="0 0 10 10" width="9" height="9" aria-hidden="true">
        <circle cx="5" cy="5" r="3.6" fill={status.kind === "live" ? "currentColor" : "none"} stroke="currentColor" strokeWidth="1.6" strokeDasharray={status.kind === "away" ? "2 1.4" : undefined} />
      </svg>
      {words}
    </span>
  );
}
