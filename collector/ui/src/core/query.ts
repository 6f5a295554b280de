// The language of the query box: `ns:prod node:gpu* is:stalled registry:ghcr.io text`. Reads it, says which pulls it means, and completes what
// is being typed. Terms of one key are alternatives, different keys and texts must all hold, `-` before a term turns it round, `*` stands for
// anything. What is no key with a value is a text to look for.

import { isRunning, stateOf } from "./look";
import type { Pulls } from "./pulls";
import type { PullStatus } from "./types";

export const KEYS = ["is", "ns", "node", "image", "registry", "workload", "pod", "class"] as const;
export type Key = (typeof KEYS)[number];

/** What each key is for, for help and completion. */
export const KEY_HELP: Record<Key, string> = {
  is: "state: stalled, failing, ready, ...",
  ns: "namespace of a pod",
  node: "name of a node",
  image: "part of an image's name",
  registry: "host of a registry",
  workload: "part of a workload's name",
  pod: "part of a pod's name",
  class: "class of an error",
};

/** The words behind `is:`. */
export const IS: Record<string, string> = {
  active: "runs",
  ended: "has ended",
  queued: "waits for its turn",
  resolving: "looks for its manifest",
  downloading: "fetches layers",
  unpacking: "unpacks layers",
  waiting: "waits for a slot, a layer or a connection",
  stalled: "no byte arrives",
  failing: "failed, and no later try is known",
  failed: "failed",
  ready: "ended with the image",
  canceled: "was taken back",
  lost: "nobody knows how it goes on",
  blocking: "a pod waits for it",
  unasked: "no pod waits for it",
  cached: "nothing had to be fetched",
};

/** One term as it was typed. */
export interface Term {
  key: Key | "text";
  value: string;
  not: boolean;
}

export interface Query {
  terms: Term[];
}

// A term is a run without spaces, but what stands in double quotes belongs together.
const TERM = /(?:[^\s"]|"[^"]*"?)+/g;

export function parse(text: string): Query {
  return { terms: (text.match(TERM) ?? []).map(term).filter((term) => term.value !== "") };
}

function term(typed: string): Term {
  const not = typed.startsWith("-") && typed.length > 1;
  const bare = not ? typed.slice(1) : typed;
  const at = bare.indexOf(":");
  const [key, value] = [bare.slice(0, at).toLowerCase(), unquoted(bare.slice(at + 1))];
  // `registry:5000/app` is the name of an image, not of a registry.
  if (at > 0 && isKey(key) && !(value.includes("/") && key !== "image" && key !== "pod" && key !== "workload")) {
    return { key, value, not };
  }
  return { key: "text", value: unquoted(bare), not };
}

export const print = ({ key, value, not }: Term): string =>
  `${not ? "-" : ""}${key === "text" ? "" : `${key}:`}${/[\s"]/.test(value) ? `"${value.replaceAll('"', "")}"` : value}`;

export const printed = (query: Query): string => query.terms.map(print).join(" ");

/** With this term, or without it if it is there. */
export function toggled(query: Query, wanted: Term): Query {
  const text = print(wanted);
  const rest = query.terms.filter((term) => print(term) !== text);
  return { terms: rest.length < query.terms.length ? rest : [...rest, wanted] };
}

export const has = (query: Query, wanted: Term): boolean => query.terms.some((term) => print(term) === print(wanted));

export type Test = (pull: PullStatus) => boolean;

/** Which pulls are meant. */
export function compile(query: Query, pulls: Pick<Pulls, "isFailing">): Test {
  const groups = new Map<string, Test[]>();
  const tests: Test[] = [];
  for (const term of query.terms) {
    const test = testOf(term, pulls);
    if (term.not) tests.push((pull) => !test(pull));
    else if (term.key === "text") tests.push(test);
    else groups.set(term.key, [...(groups.get(term.key) ?? []), test]);
  }
  for (const some of groups.values()) tests.push((pull) => some.some((test) => test(pull)));
  return (pull) => tests.every((test) => test(pull));
}

function testOf({ key, value }: Term, pulls: Pick<Pulls, "isFailing">): Test {
  const pods = (field: (pod: NonNullable<PullStatus["pods"]>[number]) => string | undefined, fits: (text: string) => boolean): Test =>
    (pull) => (pull.pods ?? []).some((pod) => fits(field(pod) ?? ""));
  switch (key) {
    case "is":
      return isTest(value.toLowerCase(), pulls);
    case "ns":
      return pods((pod) => pod.namespace, like(value));
    case "pod":
      return pods((pod) => pod.podName, containing(value));
    case "workload":
      return pods((pod) => pod.workload && `${pod.workload.kind}/${pod.workload.name}`, containing(value));
    case "node":
      return of((pull) => pull.nodeName, like(value));
    case "registry":
      return of((pull) => pull.registry, like(value));
    case "class":
      return of((pull) => pull.errorClass, like(value));
    case "image":
      return of((pull) => pull.imageRef ?? pull.imageDigest, containing(value));
    case "text":
      return textTest(value);
  }
}

const of = (field: (pull: PullStatus) => string | undefined, fits: (text: string) => boolean): Test => (pull) => fits(field(pull) ?? "");

function isTest(word: string, pulls: Pick<Pulls, "isFailing">): Test {
  switch (word) {
    case "active":
      return isRunning;
    case "ended":
      return (pull) => !isRunning(pull);
    case "failing":
      return (pull) => pulls.isFailing(pull);
    case "blocking":
      return (pull) => (pull.pods?.length ?? 0) > 0 && (isRunning(pull) || pulls.isFailing(pull));
    case "unasked":
      return (pull) => (pull.pods?.length ?? 0) === 0;
    case "cached":
      return (pull) => pull.outcome === "ready" && pull.downloadedBytes === 0;
    default:
      return (pull) => stateOf(pull) === word;
  }
}

/** Where the API's `q` looks too. */
function textTest(value: string): Test {
  const fits = containing(value);
  return (pull) =>
    fits(pull.imageRef ?? "") || fits(pull.nodeName) || fits(pull.id) || fits(pull.imageDigest ?? "") || fits(pull.error ?? "") ||
    fits(pull.summary) ||
    (pull.pods ?? []).some((pod) => fits(pod.podName) || fits(pod.namespace) || fits(pod.workload?.name ?? ""));
}

/** The whole text, in either case; `*` stands for anything. */
export function like(value: string): (text: string) => boolean {
  const wanted = value.toLowerCase();
  if (!wanted.includes("*")) return (text) => text.toLowerCase() === wanted;
  const pattern = new RegExp(`^${wanted.split("*").map(escaped).join(".*")}$`, "su");
  return (text) => pattern.test(text.toLowerCase());
}

/** A part of the text, in either case; with `*` in it, the whole text. */
export function containing(value: string): (text: string) => boolean {
  if (value.includes("*")) return like(value);
  const wanted = value.toLowerCase();
  return (text) => text.toLowerCase().includes(wanted);
}

const escaped = (text: string): string => text.replace(/[\\^$.|?+()[\]{}/]/g, "\\$&");
const unquoted = (text: string): string => text.replaceAll('"', "");
const isKey = (text: string): text is Key => (KEYS as readonly string[]).includes(text);

/** What may be typed next. */
export interface Proposal {
  /** The term, or the beginning of one that ends with a colon. */
  text: string;
  help: string;
}

/** Names that are there to be completed, each once. */
export type Names = Partial<Record<Key, Iterable<string>>>;

/** Proposals that are shown at most. */
const MAX_PROPOSALS = 8;

/** What the term that is being typed could become. */
export function complete(typed: string, names: Names): Proposal[] {
  const not = typed.startsWith("-") ? "-" : "";
  const bare = typed.slice(not.length);
  const at = bare.indexOf(":");
  if (at < 0) {
    const keys = KEYS.filter((key) => key.startsWith(bare.toLowerCase())).map((key) => ({ text: `${not}${key}:`, help: KEY_HELP[key] }));
    const words = bare.length < 2 ? [] : Object.keys(IS).filter((word) => word.startsWith(bare.toLowerCase()));
    return [...keys, ...words.map((word) => ({ text: `${not}is:${word}`, help: IS[word] ?? "" }))].slice(0, MAX_PROPOSALS);
  }
  const key = bare.slice(0, at).toLowerCase();
  if (!isKey(key)) return [];
  const value = bare.slice(at + 1).toLowerCase();
  const known = key === "is" ? Object.keys(IS) : [...(names[key] ?? [])].sort();
  const begin = known.filter((name) => name.toLowerCase().startsWith(value));
  const within = known.filter((name) => !begin.includes(name) && name.toLowerCase().includes(value));
  return [...begin, ...within]
    .slice(0, MAX_PROPOSALS)
    .map((name) => ({ text: print({ key, value: name, not: not !== "" }), help: key === "is" ? (IS[name] ?? "") : "" }));
}
