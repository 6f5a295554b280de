// What this tab knows: pulls, how it stands with the stream, and the last two minutes of speed. Frames are applied once per animation frame, so
// that however much happens the page draws once; a tab that nobody sees takes nothing and asks for the present when it is seen again.

import { Pulls } from "../core/pulls";
import { sums, type Sums } from "../core/sums";
import type { Frame } from "../core/types";
import type { Down, Status } from "./hub";
import { now } from "./api";
import { link, type Link } from "./link";
import { Pace } from "./pace";

/** A clock that stood still for so long means that the machine slept, milliseconds. */
const SLEPT = 5_000;

export class Store {
  readonly pulls = new Pulls(now);
  readonly pace = new Pace();
  status: Status = { kind: "connecting" };
  /** Whether a whole picture was ever there. */
  isKnown = false;
  /** Grows whenever anything above changed. */
  version = 0;

  /** The tiles' numbers of the moment; counted once, however many ask. */
  get sums(): Sums {
    if (this.#counted?.version !== this.pulls.version) this.#counted = { version: this.pulls.version, sums: sums(this.pulls) };
    return this.#counted.sums;
  }

  #counted: { version: number; sums: Sums } | undefined;
  #waiting: Down[] = [];
  #readers = new Set<() => void>();
  #isDrawing = false;
  #send: Link = () => undefined;

  start(): void {
    this.#send = link((message) => this.#receive(message));
    if (!document.hidden) this.#send("join");
    document.addEventListener("visibilitychange", () => this.#send(document.hidden ? "sleep" : "wake"));
    addEventListener("pagehide", () => this.#send("leave"));
    addEventListener("pageshow", ({ persisted }) => persisted && this.#send("wake"));
    addEventListener("online", () => this.#send("doubt"));
    let last = performance.now();
    setInterval(() => {
      if (performance.now() - last > SLEPT && !document.hidden) this.#send("doubt");
      last = performance.now();
      if (!document.hidden && this.isKnown) this.#beat();
    }, 1000);
  }

  subscribe = (reader: () => void): (() => void) => {
    this.#readers.add(reader);
    return () => this.#readers.delete(reader);
  };

  #receive(message: Down): void {
    this.#waiting.push(message);
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    requestAnimationFrame(() => this.#draw());
  }

  #draw(): void {
    this.#isDrawing = false;
    const messages = this.#waiting;
    this.#waiting = [];
    for (const message of messages) this.#apply(message);
    this.#told();
  }

  #apply(message: Down): void {
    switch (message.kind) {
      case "open":
        return this.pulls.open();
      case "frame":
        return this.pulls.apply(JSON.parse(message.data) as Frame);
      case "whole":
        return this.pulls.apply({ whole: message.pulls });
      case "sync":
        this.isKnown = true;
        return this.pulls.sync();
      case "status":
        this.status = message.status;
    }
  }

  /** Once a second: how fast everything was. */
  #beat(): void {
    this.pace.beat(this.pulls, this.sums.bytesPerSec);
    this.#told();
  }

  #told(): void {
    this.version++;
    for (const reader of this.#readers) reader();
  }
}
