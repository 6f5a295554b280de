import { expect, test } from "vitest";
import { held, list, type Row, type Wish } from "../src/core/order";
import { Pulls } from "../src/core/pulls";
import type { PullStatus } from "../src/core/types";
import { pull } from "./pull";

const wish = (some: Partial<Wish> = {}): Wish => ({ test: () => true, sort: "need", isReversed: false, closed: new Set(), ...some });

function house(...some: Partial<PullStatus>[]): Pulls {
  const pulls = new Pulls(() => Date.parse("2026-01-01T00:05:00Z"));
  pulls.apply({ whole: some.map((one, n) => [n, pull({ id: `p${n}`, nodeName: `node-${n}`, ...one })]) });
  return pulls;
}

const names = (rows: readonly Row[]): string[] => rows.map((row) => (row.kind === "group" ? `[${row.name}]` : row.pull.id));

test("what needs a person comes first, then what runs, then what ended, each the newest first", () => {
  const pulls = house(
    { outcome: "ready", completedAt: "2026-01-01T00:04:00Z" },
    { startedAt: "2026-01-01T00:01:00Z" },
    { startedAt: "2026-01-01T00:02:00Z" },
    { stalledSince: "2026-01-01T00:00:30Z" },
    { outcome: "failed", completedAt: "2026-01-01T00:03:00Z" },
  );
  expect(names(list(pulls, wish()).rows)).toEqual(["p4", "p3", "p2", "p1", "p0"]);
});

test("every column sorts, and the other way round", () => {
  const pulls = house({ imageRef: "b", bytesPerSec: 5, etaSeconds: 9, percent: 10 }, { imageRef: "a", bytesPerSec: 7, etaSeconds: 1, percent: 90 });
  for (const sort of ["image", "speed", "eta", "progress"] as const) {
    expect(names(list(pulls, wish({ sort })).rows)).toEqual(["p1", "p0"]);
    expect(names(list(pulls, wish({ sort, isReversed: true })).rows)).toEqual(["p0", "p1"]);
  }
});

test("groups have sums, can be closed, and those without a name are last", () => {
  const pods = [{ namespace: "prod", podName: "web-1", container: "app" }];
  const pulls = house({ downloadedBytes: 500 }, { pods }, { pods });
  const { rows } = list(pulls, wish({ group: "namespace" }));
  expect(names(rows)).toEqual(["[prod]", "p1", "p2", "[no pod waits]", "p0"]);
  expect(rows[3]).toMatchObject({ sum: { pulls: 1, running: 1, fetched: 500, toFetch: 1000 } });
  expect(names(list(pulls, wish({ group: "namespace", closed: new Set(["prod"]) })).rows)).toEqual(["[prod]", "[no pod waits]", "p0"]);
});

test("what the query does not mean is counted", () => {
  const listed = list(house({}, {}, {}), wish({ test: ({ id }) => id === "p1" }));
  expect([names(listed.rows), listed.shown, listed.hidden]).toEqual([["p1"], 1, 2]);
});

test("rows that are held stay where they are: changed, left, or new at the end", () => {
  const pulls = house({ startedAt: "2026-01-01T00:02:00Z" }, { startedAt: "2026-01-01T00:01:00Z" });
  const before = list(pulls, wish()).rows;
  pulls.apply({ gone: ["p0"], whole: [[1, pull({ id: "p1", stalledSince: "2026-01-01T00:03:00Z" })], [7, pull({ id: "new", outcome: "failed", completedAt: "2026-01-01T00:04:00Z" })]] });
  const now = held(before, list(pulls, wish()), pulls);
  expect(names(now.rows)).toEqual(["p0", "p1", "new"]);
  expect(now.rows.map((row) => row.kind === "pull" && row.isGone)).toEqual([true, false, false]);
  expect(now.rows[1]).toMatchObject({ pull: { stalledSince: "2026-01-01T00:03:00Z" } });
});
