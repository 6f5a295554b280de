import { expect, test } from "vitest";
import { compile, complete, has, parse, printed, toggled } from "../src/core/query";
import { pull } from "./pull";

const none = { isFailing: () => false };
const fits = (query: string, some: Parameters<typeof pull>[0] = {}, pulls = none): boolean => compile(parse(query), pulls)(pull(some));
const pods = [{ namespace: "prod", podName: "web-1", container: "app", workload: { kind: "Deployment", name: "web" } }];

test("terms of one key are alternatives, different keys must all hold", () => {
  expect(fits("node:node-1 node:node-2")).toBe(true);
  expect(fits("node:node-1 registry:docker.io")).toBe(false);
  expect(fits("ns:prod is:active", { pods })).toBe(true);
});

test("a star stands for anything, names are met whole and texts in part, in either case", () => {
  expect(fits("node:NODE*")).toBe(true);
  expect(fits("node:node")).toBe(false);
  expect(fits("image:team/app")).toBe(true);
  expect(fits("node:n.de-1")).toBe(false);
});

test("a minus turns a term round", () => {
  expect(fits("-is:active")).toBe(false);
  expect(fits("-team")).toBe(false);
  expect(fits("-registry:docker.io")).toBe(true);
});

test("what is no key is a text, also when it has a colon", () => {
  expect(fits("app:1")).toBe(true);
  expect(parse("registry:5000/team/app").terms).toEqual([{ key: "text", value: "registry:5000/team/app", not: false }]);
  expect(fits('"Downloading."')).toBe(true);
});

test("states are those that are shown", () => {
  expect(fits("is:stalled", { stalledSince: "2026-01-01T00:00:00Z" })).toBe(true);
  expect(fits("is:downloading", { stalledSince: "2026-01-01T00:00:00Z" })).toBe(false);
  expect(fits("is:blocking", { pods })).toBe(true);
  expect(fits("is:blocking", { pods, outcome: "failed" })).toBe(false);
  expect(fits("is:failing", { outcome: "failed" }, { isFailing: () => true })).toBe(true);
  expect(fits("is:nonsense")).toBe(false);
});

test("a query is printed as it was read, and terms come and go", () => {
  const query = parse('ns:prod -is:ready "two words" node:gpu*');
  expect(printed(query)).toBe('ns:prod -is:ready "two words" node:gpu*');
  const stalled = { key: "is", value: "stalled", not: false } as const;
  expect(printed(toggled(query, stalled))).toBe('ns:prod -is:ready "two words" node:gpu* is:stalled');
  expect(has(toggled(toggled(query, stalled), stalled), stalled)).toBe(false);
});

test("what is typed is completed: keys, states, and names that are there", () => {
  expect(complete("no", {}).map(({ text }) => text)).toEqual(["node:"]);
  expect(complete("stal", {}).map(({ text }) => text)).toEqual(["is:stalled"]);
  expect(complete("-node:pu", { node: ["gpu-2", "gpu-1", "cpu-1"] }).map(({ text }) => text)).toEqual(["-node:cpu-1", "-node:gpu-1", "-node:gpu-2"]);
  expect(complete("nothing:x", {})).toEqual([]);
});
