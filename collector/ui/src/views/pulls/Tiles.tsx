// The cluster in six numbers. A tile is a filter: pressed it shows what it counts, pressed again everything.

import { go, usePlace } from "../../app/here";
import { useLive } from "../../app/live";
import { has, parse, printed, type Term, toggled } from "../../core/query";
import { grouped, speed } from "../../core/words";
import { Spark } from "../../parts/Spark";
import { CLUSTER } from "../../live/pace";

const is = (value: string): Term => ({ key: "is", value, not: false });

export function Tiles() {
  const { sums: now, pace, isKnown } = useLive();
  const tiles: [label: string, term: Term, number: number, tone: string][] = [
    ["Active", is("active"), now.active, "downloading"],
    ["Queued", is("queued"), now.queued, "queued"],
    ["Stalled", is("stalled"), now.stalled, "stalled"],
    ["Failing", is("failing"), now.failing, "failed"],
    ["Pods waiting", is("blocking"), now.podsWaiting, "waiting"],
  ];
  return (
    <div className="tiles" role="group" aria-label="The cluster in numbers; each is a filter">
      {tiles.map(([label, term, number, tone]) => (
        <Tile key={label} label={label} term={term} tone={number > 0 ? tone : ""}>
          {isKnown ? grouped(number) : "–"}
        </Tile>
      ))}
      <Tile label="Throughput" term={is("downloading")} tone="">
        <span>{isKnown ? speed(now.bytesPerSec) : "–"}</span>
        <Spark series={pace.cluster} most={CLUSTER} label="Bytes per second of the cluster, two minutes" />
      </Tile>
    </div>
  );
}

function Tile({ label, term, tone, children }: { label: string; term: Term; tone: string; children: React.ReactNode }) {
  const query = parse(usePlace().q);
  const isPressed = has(query, term);
  return (
    <button
      type="button"
      className={`tile${tone ? ` s-${tone}` : ""}`}
      aria-pressed={isPressed}
      onClick={() => {
        // Tiles are alternatives to one another; what else was asked for stays.
        const others = query.terms.filter(({ key, not }) => key !== "is" || not);
        go({ q: printed(isPressed ? { terms: others } : toggled({ terms: others }, term)) });
      }}
    >
      <span className="tile-label">{label}</span>
      <span className="tile-number">{children}</span>
    </button>
  );
}
