import { expect, test } from "vitest";
import { Pulls } from "../src/core/pulls";
import { pull } from "./pull";

const NOW = Date.parse("2026-01-01T00:10:00Z");
const empty = (): Pulls => new Pulls(() => NOW);

test("a snapshot makes what it does not tell go away, a resumed stream does not", () => {
  const pulls = empty();
  pulls.open();
  pulls.apply({ whole: [[1, pull({ id: "a" })], [2, pull({ id: "b" })]] });
  pulls.sync();
  pulls.open();
  pulls.apply({ whole: [[2, pull({ id: "b", downloadedBytes: 7 })]] });
  expect([...pulls.all.keys()]).toEqual([1, 2]);
  pulls.sync();
  expect([...pulls.all.values()].map(({ id, downloadedBytes }) => [id, downloadedBytes])).toEqual([["b", 7]]);
});

test("numbers change a pull without changing what others hold of it", () => {
  const pulls = empty();
  pulls.apply({ whole: [[1, pull({ etaSeconds: 5 })]] });
  const before = pulls.all.get(1);
  pulls.apply({ numbers: [[1, 629, 100, null, null, null, 1, null, "Half."]] });
  expect(pulls.all.get(1)).toMatchObject({ downloadedBytes: 629, bytesPerSec: 100, layersDone: 1, percent: 62.9, totalBytes: 1000, summary: "Half." });
  expect(pulls.all.get(1)).not.toHaveProperty("etaSeconds");
  expect(before?.downloadedBytes).toBe(0);
});

test("a lower bound that grows has no percent, and nearly all is not all", () => {
  const pulls = empty();
  pulls.apply({ whole: [[1, pull({ totalKnown: false, percent: 3 })], [2, pull({ id: "b", totalBytes: 100_000 })]] });
  pulls.apply({ numbers: [[1, 10, 0, null, null, null, 0, 5000], [2, 99_999, 0, null, null, null, 0]] });
  expect(pulls.all.get(1)).toMatchObject({ totalBytes: 5000 });
  expect(pulls.all.get(1)).not.toHaveProperty("percent");
  expect(pulls.all.get(2)?.percent).toBe(99.9);
  pulls.apply({ numbers: [[2, 100_000, 0, null, null, null, 0]] });
  expect(pulls.all.get(2)?.percent).toBe(100);
});

test("after a restart of the collector numbers mean other pulls", () => {
  const pulls = empty();
  pulls.open();
  pulls.apply({ whole: [[1, pull({ id: "a" })], [2, pull({ id: "b" })]] });
  pulls.sync();
  pulls.open();
  pulls.apply({ whole: [[1, pull({ id: "b" })], [3, pull({ id: "a" })]] });
  pulls.sync();
  expect([...pulls.all].map(([n, { id }]) => [n, id])).toEqual([[1, "b"], [3, "a"]]);
  expect([pulls.byId("a")?.id, pulls.byId("b")?.id]).toEqual(["a", "b"]);
});

test("numbers and farewells of pulls that nobody has do no harm", () => {
  const pulls = empty();
  pulls.apply({ gone: ["x"], numbers: [[9, 1, null, null, null, null, 0]] });
  expect(pulls.all.size).toBe(0);
});

test("what failed is failing until a later try is known, or so long ago that none is to come", () => {
  const pulls = empty();
  const failed = pull({ id: "a", outcome: "failed", completedAt: "2026-01-01T00:05:00Z" });
  pulls.apply({ whole: [[1, failed]] });
  expect(pulls.isFailing(failed)).toBe(true);
  const old = pull({ id: "c", nodeName: "node-2", outcome: "failed", completedAt: "2025-12-31T23:00:00Z" });
  pulls.apply({ whole: [[3, old]] });
  expect(pulls.isFailing(old)).toBe(false);
  pulls.apply({ whole: [[2, pull({ id: "b", startedAt: "2026-01-01T00:06:00Z" })]] });
  expect(pulls.isFailing(failed)).toBe(false);
});
