// The honest bar: what was here already (hatched), what is fetched (solid), what is to fetch (empty), on one scale; a thin line below shows the
// layers that are done. An open right end means that there may be more. It never moves back.

import { useRef } from "react";
import { stateOf } from "../core/look";
import { barOf } from "../core/parts";
import type { PullStatus } from "../core/types";
import { percent, share, size } from "../core/words";
import "./bar.css";

export function Bar({ pull, name }: { pull: PullStatus; name: string }) {
  const most = useRef({ id: pull.id, here: 0 });
  const bar = barOf(pull);
  const state = stateOf(pull);
  if (most.current.id !== pull.id) most.current = { id: pull.id, here: 0 };
  const here = Math.max(most.current.here, bar ? bar.cached + bar.fetched : 0);
  most.current.here = here;
  const cached = bar ? Math.min(bar.cached, here) : 0;
  const value = pull.outcome === "ready" ? 100 : pull.percent;
  return (
    <div
      className={`bar s-${state}${bar?.isOpen ? " open" : ""}${bar ? "" : " unknown"}`}
      role="progressbar"
      aria-label={name}
      aria-valuemin={0}
      aria-valuemax={100}
      {...(value === undefined ? {} : { "aria-valuenow": Math.floor(value) })}
      aria-valuetext={barWords(pull)}
    >
      <span className="bar-track">
        <span className="bar-cached" style={{ width: `${cached * 100}%` }} />
        <span className="bar-fetched" style={{ width: `${(here - cached) * 100}%` }} />
      </span>
      <span className="bar-done" style={{ width: `${(bar?.done ?? 0) * 100}%` }} />
    </div>
  );
}

/** The bar in words. */
export function barWords(pull: PullStatus): string {
  const bar = barOf(pull);
  if (!bar) return "nothing is known of its size yet";
  const { fetched, missing, cached } = bar.bytes;
  const fetching = bar.isOpen ? `${size(fetched)} of at least ${size(fetched + missing)} fetched` : `${share(fetched, fetched + missing)} fetched`;
  const parts = [cached > 0 && `${size(cached)} was here`, pull.layerCount > 0 && `${pull.layersDone} of ${pull.layerCount} layers done`];
  const head = pull.percent === undefined || pull.outcome === "ready" ? "" : `${percent(pull.percent)}, `;
  return [head + fetching, ...parts.filter(Boolean)].join(", ");
}
