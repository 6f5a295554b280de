// The states that people see. One state has one shape, one colour and one word everywhere; the rule which of them a pull is in stands here.

import type { PullStatus } from "./types";

export type State =
  | "queued"
  | "resolving"
  | "downloading"
  | "unpacking"
  | "waiting"
  | "stalled"
  | "ready"
  | "failed"
  | "canceled"
  | "lost";

export const STATES: readonly State[] = [
  "failed", "stalled", "waiting", "downloading", "unpacking", "resolving", "queued", "ready", "canceled", "lost",
];

export function stateOf(pull: PullStatus): State {
  if (pull.outcome) return pull.outcome;
  if (pull.stale) return "lost";
  if (pull.stalledSince || pull.wait?.kind === "stalled") return "stalled";
  return pull.wait ? "waiting" : pull.phase;
}

/** What a state that is not on the way is called where it stands alone. */
export const wordOf = (pull: PullStatus): string => (pull.stale && !pull.outcome ? "no word" : stateOf(pull));

const WAITS = {
  download_slot: "waits for a download slot",
  layer_lock: "waits for a layer that another pull brings",
  stalled: "stalled",
  retrying: "retrying after a lost connection",
} as const;

/** The phase, and in words why it does not go on. */
export function phaseWords(pull: PullStatus): string {
  if (pull.outcome) return pull.outcome === "ready" ? "ready" : `${pull.outcome} while ${pull.phase}`;
  const why = pull.stale ? "no word from the node" : pull.wait ? WAITS[pull.wait.kind] : undefined;
  return why ? `${pull.phase}, ${why}` : pull.phase;
}

/** Whether it runs, or would if it were heard of. */
export const isRunning = (pull: PullStatus): boolean => pull.outcome === undefined;

/** What came first, seconds since the epoch. */
export const seconds = (time: string): number => Date.parse(time) / 1000;
