import { expect, test } from "vitest";
import { storyOf, ticks } from "../src/core/story";
import type { LayerStatus } from "../src/core/types";
import { pull } from "./pull";

const at = (second: number): string => new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString();
const layer = (some: Partial<LayerStatus>): LayerStatus => ({ digest: "sha256:1", state: "ready", totalBytes: 10, totalKnown: true, downloadedBytes: 10, ...some });

test("a layer waits, is fetched, waits to be unpacked and is unpacked, on the axis of its pull", () => {
  const layers = [layer({ startedAt: at(10), completedAt: at(20), unpackStartedAt: at(30), unpackCompletedAt: at(40) })];
  const { rows, seconds } = storyOf(pull({ startedAt: at(0), completedAt: at(40), outcome: "ready", layers }), Date.parse(at(99)));
  expect(seconds).toBe(40);
  expect(rows[0]?.spans.map(({ kind, from, to }) => [kind, from, to])).toEqual([
    ["wait", 0, 0.25],
    ["download", 0.25, 0.5],
    ["idle", 0.5, 0.75],
    ["unpack", 0.75, 1],
  ]);
});

test("what goes on reaches the live edge", () => {
  const layers = [layer({ state: "downloading", startedAt: at(5) }), layer({ state: "queued" })];
  const { rows, isLive } = storyOf(pull({ startedAt: at(0), layers }), Date.parse(at(10)));
  expect(isLive).toBe(true);
  expect(rows[0]?.spans.at(-1)).toMatchObject({ kind: "download", from: 0.5, to: 1, isLive: true });
  expect(rows[1]?.spans).toMatchObject([{ kind: "wait", from: 0, to: 1, isLive: true }]);
});

test("cached layers fold into one, and the slowest of the others is marked", () => {
  const layers = [layer({ state: "cached", totalBytes: 70 }), layer({ startedAt: at(0), completedAt: at(9) }), layer({ startedAt: at(0), completedAt: at(2) })];
  const { rows, cached } = storyOf(pull({ startedAt: at(0), completedAt: at(9), outcome: "ready", layers }), 0);
  expect(cached).toEqual({ layers: 1, bytes: 70 });
  expect(rows.map(({ number, isSlowest }) => [number, isSlowest])).toEqual([[2, true], [3, false]]);
});

test("the axis has a few round marks", () => {
  expect(ticks(40)).toEqual([0, 10, 20, 30, 40]);
  expect(ticks(3900)).toEqual([0, 900, 1800, 2700, 3600]);
});
