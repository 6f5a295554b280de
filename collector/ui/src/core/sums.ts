// The tiles: the cluster in six numbers, each counted by the same test that its filter uses, so that a tile and what it leads to agree.

import { isRunning, stateOf } from "./look";
import type { Pulls } from "./pulls";
import { compile, parse } from "./query";

export interface Sums {
  active: number;
  queued: number;
  stalled: number;
  failing: number;
  podsWaiting: number;
  bytesPerSec: number;
}

export function sums(pulls: Pulls): Sums {
  const sums: Sums = { active: 0, queued: 0, stalled: 0, failing: 0, podsWaiting: 0, bytesPerSec: 0 };
  const blocking = compile(parse("is:blocking"), pulls);
  const waiting = new Set<string>();
  for (const pull of pulls.all.values()) {
    if (isRunning(pull)) {
      sums.active++;
      sums.bytesPerSec += pull.bytesPerSec ?? 0;
      const state = stateOf(pull);
      if (state === "queued") sums.queued++;
      if (state === "stalled") sums.stalled++;
    } else if (pulls.isFailing(pull)) {
      sums.failing++;
    } else {
      continue;
    }
    if (blocking(pull)) for (const pod of pull.pods ?? []) waiting.add(`${pod.namespace}/${pod.podName}`);
  }
  sums.podsWaiting = waiting.size;
  return sums;
}
