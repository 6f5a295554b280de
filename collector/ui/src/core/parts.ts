// The honest bar: what of an image was here already, what was fetched, what is still to be fetched, all on one scale that adds up; and below it
// how much is unpacked.

import type { PullStatus } from "./types";

/** Shares of the bar, 0 to 1. `cached + fetched + missing` is 1, unless the end is open. */
export interface Bar {
  cached: number;
  fetched: number;
  missing: number;
  /** Layers of which nothing is left to do. */
  done: number;
  /** The total is a lower bound: there may be more behind the right end. */
  isOpen: boolean;
  /** Bytes: of the whole, here before, fetched, to fetch yet. */
  bytes: { whole: number; cached: number; fetched: number; missing: number };
}

/** `undefined` where nothing is known to draw. */
export function barOf(pull: PullStatus): Bar | undefined {
  const cached = pull.cachedBytes;
  const fetched = pull.downloadedBytes;
  const toFetch = Math.max(pull.totalBytes ?? 0, fetched);
  const missing = toFetch - fetched;
  const whole = cached + toFetch;
  const done = pull.outcome === "ready" ? 1 : pull.layerCount > 0 ? pull.layersDone / pull.layerCount : 0;
  if (whole === 0) return pull.outcome === "ready" ? { cached: 1, fetched: 0, missing: 0, done: 1, isOpen: false, bytes: { whole: 0, cached: 0, fetched: 0, missing: 0 } } : undefined;
  return {
    cached: cached / whole,
    fetched: fetched / whole,
    missing: missing / whole,
    done,
    isOpen: !pull.totalKnown && pull.outcome !== "ready",
    bytes: { whole, cached, fetched, missing },
  };
}
