// Owns the one stream of frames for all tabs, and hands on what comes. Runs in a SharedWorker, else in one tab (see `link.ts`). It connects, waits
// and resumes; what frames mean is `core/pulls`. The world around it is an argument.

import { pause } from "../core/backoff";
import { Pulls } from "../core/pulls";
import type { Frame, PullStatus } from "../core/types";

/** How it stands with the stream. */
export type Status =
  /** Nothing has come yet. An open stream leads to live. */
  | { kind: "connecting" }
  /** What is shown is true. */
  | { kind: "live" }
  /** What is shown was true at `since` (milliseconds). The next try that succeeds leads to live. */
  | { kind: "away"; since: number; why: Why };

export type Why = "unreachable" | "unauthorized" | "forbidden" | "full" | "refused";

/** From the hub to a tab. */
export type Down =
  | { kind: "open" }
  | { kind: "frame"; data: string }
  | { kind: "whole"; pulls: [number, PullStatus][] }
  | { kind: "sync" }
  | { kind: "status"; status: Status };

/** From a tab to the hub. Who wakes up joins again, and doubts that the connection survived. */
export type Up = "join" | "wake" | "sleep" | "leave" | "doubt";

export interface Tab {
  send(message: Down): void;
}

/** What the hub needs of the world. */
export interface World {
  open(url: string): EventSource;
  fetch(url: string): Promise<{ status: number }>;
  now(): number;
  random(): number;
  later(milliseconds: number, then: () => void): unknown;
  cancel(timer: unknown): void;
}

/** Pulls in one message to a tab that joins. */
const CHUNK = 500;
/** A stream from which nothing came for so long, or that is not open after so long, is not trusted after a doubt, milliseconds. */
const TRUSTED = 2_000;

export class Hub {
  #pulls: Pulls;
  #tabs = new Set<Tab>();
  /** Those of them that missed the beginning of the snapshot that may be coming. */
  #late = new Set<Tab>();
  #status: Status = { kind: "connecting" };
  #stream: EventSource | null = null;
  #lastId = "";
  #heard = 0;
  #began = 0;
  #failures = 0;
  #timer: unknown = null;
  #isSynced = false;

  /** `root` is the address of the application, with a slash at its end. */
  constructor(
    private readonly root: string,
    private readonly world: World,
  ) {
    this.#pulls = new Pulls(() => world.now());
  }

  take(tab: Tab, message: Up): void {
    if (message === "join" || message === "wake") this.#join(tab);
    if (message === "wake" || message === "doubt") this.#doubt();
    if (message === "sleep" || message === "leave") {
      this.#tabs.delete(tab);
      this.#late.delete(tab);
    }
  }

  /** A tab that is new or woke up: the present state first, then what changes. */
  #join(tab: Tab): void {
    this.#tabs.add(tab);
    tab.send({ kind: "status", status: this.#status });
    if (this.#isSynced) this.#tell(tab);
    if (this.#stream?.readyState === 1) this.#late.add(tab);
    if (!this.#stream) this.#connect();
  }

  /** Everything as it is. */
  #tell(tab: Tab): void {
    tab.send({ kind: "open" });
    const all = [...this.#pulls.all];
    for (let at = 0; at < all.length; at += CHUNK) tab.send({ kind: "whole", pulls: all.slice(at, at + CHUNK) });
    tab.send({ kind: "sync" });
  }

  /** The connection may be dead without knowing it: after sleep, or when the network came back. */
  #doubt(): void {
    const isNew = this.#stream?.readyState === 0 && this.world.now() - this.#began < TRUSTED;
    if (!isNew && (this.#status.kind !== "live" || this.world.now() - this.#heard > TRUSTED)) this.#connect();
  }

  #connect(from = this.#lastId): void {
    this.world.cancel(this.#timer);
    this.#timer = null;
    this.#stream?.close();
    const resume = from && `&lastEventId=${encodeURIComponent(from)}`;
    const stream = this.world.open(`${this.root}api/v1/frames?summary=true${resume}`);
    this.#stream = stream;
    this.#began = this.world.now();
    stream.onopen = () => {
      this.#failures = 0;
      this.#heard = this.world.now();
      this.#pulls.open();
      this.#late.clear();
      this.#all({ kind: "open" });
      if (this.#isSynced) this.#say({ kind: "live" });
    };
    stream.onmessage = (message: MessageEvent<string>) => {
      this.#note(message);
      this.#pulls.apply(JSON.parse(message.data) as Frame);
      this.#all({ kind: "frame", data: message.data });
    };
    stream.addEventListener("sync", (message) => {
      this.#note(message);
      this.#pulls.sync();
      this.#isSynced = true;
      for (const tab of this.#tabs) this.#late.has(tab) ? this.#tell(tab) : tab.send({ kind: "sync" });
      this.#late.clear();
      this.#say({ kind: "live" });
    });
    stream.onerror = () => void this.#failed(stream);
  }

  #note(message: MessageEvent): void {
    this.#heard = this.world.now();
    if (message.lastEventId) this.#lastId = message.lastEventId;
  }

  async #failed(stream: EventSource): Promise<void> {
    stream.close();
    if (stream !== this.#stream) return;
    this.#stream = null;
    const since = this.#status.kind === "away" ? this.#status.since : this.#heard || this.world.now();
    const wait = pause(this.#failures++, this.world.random());
    this.#timer = this.world.later(wait, () => this.#connect());
    // An EventSource does not say why; the API does.
    const why = await this.world.fetch(`${this.root}api/v1/summary`).then(whyNot, () => "unreachable" as const);
    const isBack = (this.#stream as EventSource | null)?.readyState === 1;
    if (!isBack) this.#say({ kind: "away", since, why });
  }

  #say(status: Status): void {
    this.#status = status;
    this.#all({ kind: "status", status });
  }

  #all(message: Down): void {
    for (const tab of this.#tabs) tab.send(message);
  }
}

function whyNot({ status }: { status: number }): Why {
  if (status === 401) return "unauthorized";
  if (status === 403) return "forbidden";
  // The question was answered, so it is the stream that has no room.
  if (status === 503 || status === 200) return "full";
  return status >= 502 ? "unreachable" : "refused";
}
