// How fast it went lately: bytes per second, one number a second, of the cluster and of every pull that runs.

import { isRunning } from "../core/look";
import type { Pulls } from "../core/pulls";

/** Seconds that are kept of the cluster. */
export const CLUSTER = 120;
/** Seconds that are kept of a pull. */
export const PULL = 60;

export class Pace {
  /** The oldest first. */
  readonly cluster: number[] = [];
  #pulls = new Map<string, number[]>();

  /** One second went by. */
  beat(pulls: Pulls, bytesPerSec: number): void {
    push(this.cluster, bytesPerSec, CLUSTER);
    for (const pull of pulls.all.values()) {
      if (!isRunning(pull)) continue;
      const known = this.#pulls.get(pull.id);
      if (known) push(known, pull.bytesPerSec ?? 0, PULL);
      else this.#pulls.set(pull.id, [pull.bytesPerSec ?? 0]);
    }
    for (const id of this.#pulls.keys()) if (!pulls.byId(id)) this.#pulls.delete(id);
  }

  of(id: string): readonly number[] {
    return this.#pulls.get(id) ?? [];
  }
}

function push(series: number[], value: number, most: number): void {
  series.push(value);
  if (series.length > most) series.shift();
}
