import { expect, test } from "vitest";
import { arrange, falling, hold, pressed, wished } from "../src/core/arrange";
import { loads } from "../src/core/host";
import { Pulls } from "../src/core/pulls";
import { parse } from "../src/core/query";
import { cellsOf, counted, heldBy, podState } from "../src/core/rollout";
import { idle, sift } from "../src/core/sift";
import type { ContainerStatus, PodItem, PodStatus } from "../src/core/types";
import { podOf } from "../src/embed/address";
import { pull } from "./pull";

const pod = (some: Partial<PodItem>): PodItem => ({ namespace: "shop", podName: "web-1", nodeName: "node-1", state: "ready", containerCount: 1, summary: "", ...some });

test("a row is meant as a pull is: one value of a key is enough, keys and texts must all fit, a minus turns round", () => {
  const said = { node: ["gpu-1"], is: ["active", "stalled"], ns: ["prod", "shop"], text: ["containerd 2.1"] };
  const fits = (text: string): boolean => sift(parse(text))(said);
  expect(["", "node:gpu*", "node:GPU-1", "ns:prod ns:other", "is:stalled ns:shop gpu", "containerd", "-node:cpu*"].map(fits)).toEqual(Array(7).fill(true));
  expect(["node:gpu", "ns:other", "is:stalled node:cpu*", "gpu cpu", "-is:active", "-gpu"].map(fits)).toEqual(Array(6).fill(false));
});

test("a term that means nothing to a kind of row hides none and is named", () => {
  const query = parse("registry:ghcr.io node:a text");
  expect(sift(query)({ node: ["a"], text: ["text"] })).toBe(true);
  expect(idle(query, { node: [] })).toEqual([{ key: "registry", value: "ghcr.io", not: false }]);
});

test("a column is sorted up, then down, then as usual; what is no column is as usual", () => {
  const columns = { size: (row: { name: string; n: number }) => -row.n, name: (row: { name: string }) => row.name };
  const now = (by?: string) => wished(by, columns, "name");
  expect([pressed(now(), "size", "name"), pressed(now("size"), "size", "name"), pressed(now("-size"), "size", "name"), pressed(now(), "name", "name"), pressed(now("size"), "name", "name")]).toEqual(["size", "-size", undefined, "-name", undefined]);
  expect([now("odd"), now("-toString")]).toEqual(Array(2).fill({ by: "name", isReversed: false }));
  const rows = [{ name: "b", n: 1 }, { name: "a", n: 1 }, { name: "c", n: 2 }];
  const names = (by: string) => arrange(rows, now(by), columns, (row) => row.name).map(({ name }) => name);
  expect([names("size"), names("-size"), names("-name")]).toEqual([["c", "a", "b"], ["a", "b", "c"], ["c", "b", "a"]]);
});

test("rows that have nothing in a column are last, either way round", () => {
  const columns = { size: (row: { name: string; n?: number }) => falling(row.n) };
  const rows = [{ name: "a" }, { name: "b", n: 0 }, { name: "c", n: 2 }];
  const names = (isReversed: boolean) => arrange<{ name: string; n?: number }>(rows, { by: "size", isReversed }, columns, (row) => row.name).map(({ name }) => name);
  expect([names(false), names(true)]).toEqual([["c", "b", "a"], ["b", "c", "a"]]);
});

test("held rows stay where they are, with what they are now; new ones come at the end", () => {
  const row = (name: string, n: number) => ({ name, n });
  expect(hold([row("a", 1), row("b", 1), row("c", 1)], [row("d", 2), row("c", 2), row("a", 2)], ({ name }) => name)).toEqual([row("a", 2), row("c", 2), row("d", 2)]);
});

test("a cell is as slow as the slowest pod of its node, and what needs a person comes first", () => {
  const stalled = pull({ id: "s", percent: 40, stalledSince: "2026-01-01T00:00:00Z" });
  const half = pull({ id: "h", percent: 50 });
  const cells = cellsOf(
    [
      pod({ nodeName: "a", state: "ready" }),
      pod({ nodeName: "b", state: "pulling", pullId: "h", etaSeconds: 5, summary: "soon" }),
      pod({ nodeName: "b", state: "ready", summary: "there" }),
      pod({ nodeName: "c", state: "failed" }),
      pod({ nodeName: "d", state: "pulling", pullId: "s" }),
      pod({ nodeName: "e", state: "queued" }),
    ],
    (id) => [stalled, half].find((one) => one.id === id),
  );
  expect(cells.map(({ node, state, pods }) => [node, state, pods])).toEqual([["c", "failed", 1], ["d", "stalled", 1], ["e", "queued", 1], ["b", "downloading", 2], ["a", "ready", 1]]);
  expect(cells[3]).toMatchObject({ fill: 0.5, sentence: "soon" });
  expect(counted(cells)).toEqual([["failed", 1], ["stalled", 1], ["queued", 1], ["downloading", 1], ["ready", 1]]);
});

test("a pod that is pulled without a known pull is on its way, and one whose pull has ended is not said to be ready", () => {
  expect([podState(pod({ state: "pulling" })), podState(pod({ state: "pulling" }), pull({ outcome: "ready" })), podState(pod({ state: "failed" }), pull())]).toEqual(["downloading", "downloading", "failed"]);
});

test("the load of a node is what runs there, how fast, and what needs a person", () => {
  const pulls = new Pulls(() => Date.parse("2026-01-01T00:01:00Z"));
  pulls.apply({
    whole: [
      [1, pull({ id: "1", bytesPerSec: 10 })],
      [2, pull({ id: "2", imageRef: "b", bytesPerSec: 5, stalledSince: "2026-01-01T00:00:00Z" })],
      [3, pull({ id: "3", imageRef: "c", outcome: "failed" })],
      [4, pull({ id: "4", nodeName: "other", phase: "queued" })],
    ],
  });
  const all = loads(pulls, (pull) => pull.nodeName);
  expect(all.get("node-1")).toMatchObject({ stalled: 1, queued: 0, failing: 1, ended: 1, bytesPerSec: 15 });
  expect(all.get("node-1")?.running.length).toBe(2);
  expect(all.get("other")?.queued).toBe(1);
});

test("the widget reads its pod off any path, and nothing that is no pod", () => {
  expect(podOf("/embed/pod/shop/web-1", "")).toEqual({ pod: { namespace: "shop", name: "web-1" }, theme: undefined });
  expect(podOf("/a/b/embed/pod/x%2Fy/z/", "?theme=dark")).toEqual({ pod: { namespace: "x/y", name: "z" }, theme: "dark" });
  expect(podOf("/embed/pod/shop/%E0%A4%A", "?theme=pink")).toEqual({ pod: undefined, theme: undefined });
  expect(podOf("/embed/pod/shop", "").pod).toBeUndefined();
});

test("a pod is held up by what needs a person before what is on its way", () => {
  const container = (name: string, state: ContainerStatus["state"], pullId?: string): ContainerStatus => ({ container: name, kind: "main", image: name, state, ...(pullId ? { pullId } : {}) });
  const of = (...containers: ContainerStatus[]): PodStatus => ({ namespace: "a", podName: "b", imagesReady: false, stale: false, summary: "", containers, pulls: [] });
  const unpacking = pull({ id: "u", phase: "unpacking" });
  const state = (...containers: ContainerStatus[]) => heldBy(of(...containers), (id) => (id === "u" ? unpacking : undefined));
  expect([state(), state(container("a", "ready")), state(container("a", "ready"), container("b", "pulling", "u")), state(container("a", "waiting"), container("b", "pulling", "u")), state(container("a", "queued"), container("b", "failed"))]).toEqual(["ready", "ready", "unpacking", "queued", "failed"]);
});
