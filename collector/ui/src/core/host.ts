// What the pulls of the stream say of one node, or of one image: how many run, how fast, and what needs a person.

import { isRunning, stateOf } from "./look";
import type { Pulls } from "./pulls";
import type { PullStatus } from "./types";

export interface Load {
  running: PullStatus[];
  /** Of the running ones. */
  stalled: number;
  queued: number;
  /** Failed, and no later try is known. */
  failing: number;
  ended: number;
  bytesPerSec: number;
}

export const NO_LOAD: Load = { running: [], stalled: 0, queued: 0, failing: 0, ended: 0, bytesPerSec: 0 };

/** The load by what a pull belongs to; a pull that belongs to nothing is left out. */
export function loads(pulls: Pulls, keyOf: (pull: PullStatus) => string | undefined): Map<string, Load> {
  const all = new Map<string, Load>();
  for (const pull of pulls.all.values()) {
    const key = keyOf(pull);
    if (key === undefined) continue;
    let load = all.get(key);
    if (!load) all.set(key, (load = { ...NO_LOAD, running: [] }));
    if (!isRunning(pull)) {
      load.ended++;
      if (pulls.isFailing(pull)) load.failing++;
      continue;
    }
    const state = stateOf(pull);
    load.running.push(pull);
    load.bytesPerSec += pull.bytesPerSec ?? 0;
    if (state === "stalled") load.stalled++;
    if (state === "queued") load.queued++;
  }
  return all;
}
