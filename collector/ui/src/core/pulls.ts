// The pulls of the cluster, as the dense stream tells them: frames in, a map of immutable statuses out. It knows no network and no page;
// who reads the stream is `live/`.

import type { Frame, Numbers, PullStatus } from "./types";

/** A kubelet that asks again does it within this time, milliseconds: the same as where tries become one episode in the API. */
const EPISODE = 600_000;

export class Pulls {
  /** Every pull in memory by its number. A status is replaced when it changes, never changed. */
  readonly all = new Map<number, PullStatus>();
  /** Grows with every change. */
  version = 0;

  /** `now` is milliseconds since the epoch. */
  constructor(private readonly now: () => number) {}

  #numbers = new Map<string, number>();
  #newest = new Map<string, PullStatus>();
  #seen: Set<number> | null = null;

  /** A connection was opened: what comes may be a new snapshot. */
  open(): void {
    this.#seen = new Set();
  }

  /** The snapshot is complete: what it did not tell is gone. */
  sync(): void {
    const seen = this.#seen;
    this.#seen = null;
    if (!seen) return;
    for (const [n, pull] of this.all) if (!seen.has(n)) this.#remove(n, pull);
    this.version++;
  }

  apply(frame: Frame): void {
    for (const id of frame.gone ?? []) {
      const n = this.#numbers.get(id);
      const pull = n === undefined ? undefined : this.all.get(n);
      if (n !== undefined && pull) this.#remove(n, pull);
    }
    for (const [n, pull] of frame.whole ?? []) this.#put(n, pull);
    for (const numbers of frame.numbers ?? []) {
      const known = this.all.get(numbers[0]);
      if (known) this.all.set(numbers[0], withNumbers(known, numbers));
    }
    this.version++;
  }

  byId(id: string): PullStatus | undefined {
    const n = this.#numbers.get(id);
    return n === undefined ? undefined : this.all.get(n);
  }

  /** Whether it failed, and no later try of this image on this node is known, but could still come. */
  isFailing(pull: PullStatus): boolean {
    if (pull.outcome !== "failed" || (this.#newest.get(place(pull))?.id ?? pull.id) !== pull.id) return false;
    return this.now() - Date.parse(pull.completedAt ?? pull.updatedAt) < EPISODE;
  }

  #put(n: number, pull: PullStatus): void {
    const before = this.all.get(n);
    if (before && before.id !== pull.id && this.#numbers.get(before.id) === n) this.#numbers.delete(before.id);
    const elsewhere = this.#numbers.get(pull.id);
    if (elsewhere !== undefined && elsewhere !== n) this.all.delete(elsewhere);
    this.all.set(n, pull);
    this.#numbers.set(pull.id, n);
    this.#seen?.add(n);
    const newest = this.#newest.get(place(pull));
    if (!newest || newest.id === pull.id || newest.startedAt <= pull.startedAt) this.#newest.set(place(pull), pull);
  }

  #remove(n: number, pull: PullStatus): void {
    this.all.delete(n);
    if (this.#numbers.get(pull.id) === n) this.#numbers.delete(pull.id);
    if (this.#newest.get(place(pull))?.id === pull.id) this.#newest.delete(place(pull));
  }
}

/** One image on one node; a pull without a name stands for itself. */
const place = (pull: PullStatus): string => `${pull.nodeName} ${pull.imageRef ?? pull.id}`;

function withNumbers(pull: PullStatus, numbers: Numbers): PullStatus {
  const [, downloadedBytes, bytesPerSec, eta, low, high, layersDone, total, summary] = numbers;
  const next: PullStatus = { ...pull, downloadedBytes, layersDone };
  if (typeof total === "number") next.totalBytes = total;
  if (summary !== undefined) next.summary = summary;
  set(next, "bytesPerSec", bytesPerSec);
  set(next, "etaSeconds", eta);
  set(next, "etaLowSeconds", low);
  set(next, "etaHighSeconds", high);
  set(next, "percent", percentOf(next));
  return next;
}

type Optional = "bytesPerSec" | "etaSeconds" | "etaLowSeconds" | "etaHighSeconds" | "percent";

function set(pull: PullStatus, field: Optional, value: number | null): void {
  if (value === null) delete pull[field];
  else pull[field] = value;
}

/** Share of what is to be fetched, in tenths of a percent, rounded down; 100 only when every byte is there. */
function percentOf({ downloadedBytes, totalBytes, totalKnown }: PullStatus): number | null {
  if (!totalKnown || totalBytes === undefined) return null;
  if (downloadedBytes >= totalBytes) return 100;
  return Math.min(99.9, Math.floor((1000 * downloadedBytes) / totalBytes) / 10);
}
