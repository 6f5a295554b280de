// Which rows the table shows, in which order, under which headings: pure, so that the table only draws. While a person points at the table its
// order is held: what changes changes in place, what is new comes at the end, what left stays and says so.

import { isRunning, stateOf, type State } from "./look";
import type { Pulls } from "./pulls";
import type { Test } from "./query";
import type { PullStatus } from "./types";

export const SORTS = ["need", "image", "node", "state", "progress", "speed", "eta", "size", "age"] as const;
export type Sort = (typeof SORTS)[number];
export const GROUPS = ["image", "node", "workload", "registry", "namespace"] as const;
export type Group = (typeof GROUPS)[number];

export interface Wish {
  test: Test;
  sort: Sort;
  /** The other way round than is usual for the column. */
  isReversed: boolean;
  group?: Group;
  /** Groups that are closed. */
  closed: ReadonlySet<string>;
}

export type Row =
  | { kind: "pull"; key: string; pull: PullStatus; isGone: boolean }
  | { kind: "group"; key: string; name: string; sum: Sum; isClosed: boolean };

/** What a group comes to. */
export interface Sum {
  pulls: number;
  running: number;
  states: Partial<Record<State, number>>;
  bytesPerSec: number;
  fetched: number;
  toFetch: number;
}

export interface Listed {
  rows: Row[];
  /** Pulls that the query means, and those it does not. */
  shown: number;
  hidden: number;
}

/** What needs a person first, then what runs, then what ended; each the newest first. */
const NEED: Record<State, number> = {
  failed: 3, stalled: 1, waiting: 2, downloading: 2, unpacking: 2, resolving: 2, queued: 2, lost: 2, ready: 4, canceled: 4,
};

export function list(pulls: Pulls, wish: Wish): Listed {
  const shown: PullStatus[] = [];
  for (const pull of pulls.all.values()) if (wish.test(pull)) shown.push(pull);
  const need = (pull: PullStatus): number => (pulls.isFailing(pull) ? 0 : pull.outcome ? Math.max(3, NEED[stateOf(pull)]) : NEED[stateOf(pull)]);
  const keyed = shown.map((pull): Keyed => ({ pull, ...keyOf(pull, wish.sort, need) }));
  keyed.sort(wish.isReversed ? (a, b) => -compare(a, b) : compare);
  const rows = wish.group ? grouped(keyed, wish.group, wish.closed) : keyed.map(({ pull }) => pullRow(pull));
  return { rows, shown: shown.length, hidden: pulls.all.size - shown.length };
}

/** The same rows as before with what they are now; new ones at the end. */
export function held(before: readonly Row[], now: Listed, pulls: Pulls): Listed {
  const fresh = new Map(now.rows.map((row) => [row.key, row]));
  const rows = before.map((row): Row => {
    const next = fresh.get(row.key);
    fresh.delete(row.key);
    if (next) return next;
    if (row.kind === "group") return row;
    const pull = pulls.byId(row.pull.id);
    return pull ? { ...row, pull } : row.isGone ? row : { ...row, isGone: true };
  });
  rows.push(...fresh.values());
  return { ...now, rows };
}

const pullRow = (pull: PullStatus): Row => ({ kind: "pull", key: pull.id, pull, isGone: false });

interface Keyed {
  pull: PullStatus;
  word: string;
  rank: number;
  at: string;
}

/** By rank, then word, then the newest first; the id so that equal pulls stay where they are. */
function compare(a: Keyed, b: Keyed): number {
  return a.rank - b.rank || (a.word < b.word ? -1 : a.word > b.word ? 1 : 0) || (a.at > b.at ? -1 : a.at < b.at ? 1 : 0) || (a.pull.id < b.pull.id ? -1 : 1);
}

function keyOf(pull: PullStatus, sort: Sort, need: (pull: PullStatus) => number): Omit<Keyed, "pull"> {
  const at = pull.completedAt ?? pull.stalledSince ?? pull.startedAt;
  const by = (rank: number, word = ""): Omit<Keyed, "pull"> => ({ rank, word, at });
  switch (sort) {
    case "need":
      return by(need(pull));
    case "image":
      return by(0, pull.imageRef ?? "\uffff");
    case "node":
      return by(0, pull.nodeName);
    case "state":
      return by(NEED[stateOf(pull)], stateOf(pull));
    case "progress":
      return by(pull.outcome ? 200 : -(pull.percent ?? -1));
    case "speed":
      return by(-(isRunning(pull) ? (pull.bytesPerSec ?? 0) : -1));
    case "eta":
      return by(isRunning(pull) ? (pull.etaSeconds ?? pull.etaLowSeconds ?? 1e12) : 1e13);
    case "size":
      return by(-(pull.sizeBytes ?? (pull.totalBytes ?? 0) + pull.cachedBytes));
    case "age":
      return { rank: 0, word: "", at: pull.startedAt };
  }
}

const NONE: Record<Group, string> = {
  image: "name not known yet", node: "", registry: "registry not known yet", workload: "no workload waits", namespace: "no pod waits",
};

export function groupOf(pull: PullStatus, group: Group): string {
  const pod = pull.pods?.[0];
  const name = {
    image: pull.imageRef,
    node: pull.nodeName,
    registry: pull.registry,
    workload: pod && `${pod.namespace}/${pod.workload?.name ?? pod.podName}`,
    namespace: pod?.namespace,
  }[group];
  return name ?? NONE[group];
}

/** Groups in the order of their first pull, so that what needs a person is on top here too; those without a name are last. */
function grouped(sorted: Keyed[], group: Group, closed: ReadonlySet<string>): Row[] {
  const groups = new Map<string, PullStatus[]>();
  for (const { pull } of sorted) {
    const name = groupOf(pull, group);
    const pulls = groups.get(name);
    if (pulls) pulls.push(pull);
    else groups.set(name, [pull]);
  }
  const ordered = [...groups].sort(([a], [b]) => Number(a === NONE[group]) - Number(b === NONE[group]));
  return ordered.flatMap(([name, pulls]) => {
    const isClosed = closed.has(name);
    const head: Row = { kind: "group", key: `group ${name}`, name, sum: sum(pulls), isClosed };
    return isClosed ? [head] : [head, ...pulls.map(pullRow)];
  });
}

export function sum(pulls: Iterable<PullStatus>): Sum {
  const sum: Sum = { pulls: 0, running: 0, states: {}, bytesPerSec: 0, fetched: 0, toFetch: 0 };
  for (const pull of pulls) {
    const state = stateOf(pull);
    sum.pulls++;
    sum.states[state] = (sum.states[state] ?? 0) + 1;
    if (!isRunning(pull)) continue;
    sum.running++;
    sum.bytesPerSec += pull.bytesPerSec ?? 0;
    sum.fetched += pull.downloadedBytes;
    sum.toFetch += Math.max(pull.totalBytes ?? 0, pull.downloadedBytes);
  }
  return sum;
}
