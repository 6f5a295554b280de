// The hub with a world that a test holds in its hand.

import { expect, test } from "vitest";
import { LONGEST, pause } from "../src/core/backoff";
import { Pulls } from "../src/core/pulls";
import type { Frame } from "../src/core/types";
import { type Down, Hub, type Tab, type World } from "../src/live/hub";
import { pull } from "./pull";

class Stream {
  readyState = 0;
  onopen: () => void = () => undefined;
  onmessage: (message: { data: string; lastEventId: string }) => void = () => undefined;
  onerror: () => void = () => undefined;
  sync: (message: { lastEventId: string }) => void = () => undefined;
  constructor(readonly url: string) {}
  addEventListener(_: "sync", then: Stream["sync"]): void {
    this.sync = then;
  }
  close(): void {
    this.readyState = 2;
  }
  opens(): void {
    this.readyState = 1;
    this.onopen();
  }
  tells(frame: object, lastEventId: string): void {
    this.onmessage({ data: JSON.stringify(frame), lastEventId });
  }
}

function world() {
  const streams: Stream[] = [];
  const timers = new Map<number, () => void>();
  const state = { now: 1000, status: 200, isReachable: true };
  const it: World = {
    open: (url) => {
      const stream = new Stream(url);
      streams.push(stream);
      return stream as unknown as EventSource;
    },
    fetch: () => (state.isReachable ? Promise.resolve({ status: state.status }) : Promise.reject(new Error("away"))),
    now: () => state.now,
    random: () => 0.5,
    later: (milliseconds, then) => (timers.set(milliseconds, then), milliseconds),
    cancel: (timer) => void timers.delete(timer as number),
  };
  const ring = (): void => {
    const due = [...timers];
    timers.clear();
    for (const [, then] of due) then();
  };
  const last = (): Stream => streams.at(-1) as Stream;
  return { it, streams, state, ring, last };
}

function tab(): Tab & { got: Down[]; kinds(): string[] } {
  const got: Down[] = [];
  return { got, send: (message) => void got.push(message), kinds: () => got.map(({ kind }) => kind) };
}

const settled = (): Promise<void> => new Promise((done) => setTimeout(done, 0));

test("all tabs share one stream, and who comes later gets the present state first", () => {
  const { it, streams, last } = world();
  const hub = new Hub("http://x/", it);
  const [one, two] = [tab(), tab()];
  hub.take(one, "join");
  last().opens();
  last().tells({ whole: [[1, pull()]] }, "e.1");
  last().sync({ lastEventId: "e.1" });
  hub.take(two, "join");
  last().tells({ numbers: [[1, 5, null, null, null, null, 0]] }, "e.2");
  expect(streams.length).toBe(1);
  expect(two.kinds()).toEqual(["status", "open", "whole", "sync", "frame"]);
  hub.take(one, "leave");
  last().tells({}, "e.3");
  expect(one.kinds().filter((kind) => kind === "frame").length).toBe(2);
});

test("who comes in the middle of a snapshot misses nothing of it, and keeps nothing that it does not tell", () => {
  const { it, last } = world();
  const hub = new Hub("http://x/", it);
  hub.take(tab(), "join");
  last().opens();
  last().tells({ whole: [[1, pull({ id: "old" })]] }, "e.1");
  last().sync({ lastEventId: "e.1" });
  last().opens();
  last().tells({ whole: [[2, pull({ id: "new" })]] }, "f.1");
  const late = tab();
  hub.take(late, "join");
  last().sync({ lastEventId: "f.2" });
  const seen = new Pulls(() => 0);
  for (const message of late.got) {
    if (message.kind === "open") seen.open();
    if (message.kind === "whole") seen.apply({ whole: message.pulls });
    if (message.kind === "frame") seen.apply(JSON.parse(message.data) as Frame);
    if (message.kind === "sync") seen.sync();
  }
  expect([...seen.all.values()].map(({ id }) => id)).toEqual(["new"]);
});

test("a stream that breaks is taken up where it was, later each time, and the tabs know since when and why", async () => {
  const { it, streams, last, state, ring } = world();
  const hub = new Hub("http://x/", it);
  const one = tab();
  hub.take(one, "join");
  last().opens();
  last().sync({ lastEventId: "e.7" });
  state.isReachable = false;
  state.now = 2000;
  last().onerror();
  await settled();
  expect(one.got.at(-1)).toEqual({ kind: "status", status: { kind: "away", since: 1000, why: "unreachable" } });
  ring();
  expect(streams.length).toBe(2);
  expect(last().url).toContain("lastEventId=e.7");
  [state.isReachable, state.status] = [true, 401];
  last().onerror();
  await settled();
  expect(one.got.at(-1)).toEqual({ kind: "status", status: { kind: "away", since: 1000, why: "unauthorized" } });
  ring();
  last().opens();
  expect(one.got.at(-1)).toEqual({ kind: "status", status: { kind: "live" } });
});

test("after a doubt a stream that was silent is opened anew, one that just spoke is not", () => {
  const { it, streams, last, state } = world();
  const hub = new Hub("http://x/", it);
  hub.take(tab(), "join");
  last().opens();
  last().sync({ lastEventId: "e.1" });
  hub.take(tab(), "doubt");
  expect(streams.length).toBe(1);
  state.now += 600_000;
  hub.take(tab(), "join");
  expect(streams.length).toBe(1);
  hub.take(tab(), "wake");
  expect(streams.length).toBe(2);
  expect(streams[0]?.readyState).toBe(2);
});

test("tries come ever later, never together, and not later than promised", () => {
  expect(pause(0, 0)).toBeLessThan(pause(0, 1));
  for (let failures = 0; failures < 50; failures++) expect(pause(failures, 1)).toBeLessThanOrEqual(LONGEST);
  expect(pause(50, 0)).toBe(LONGEST / 2);
});
