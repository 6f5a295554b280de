import { expect, test } from "vitest";
import { HOME, readPlace, writePlace } from "../src/core/place";

test("links of dashboards lead where they say", () => {
  expect(readPlace("?q=shop/web")).toEqual({ ...HOME, q: "shop/web" });
  expect(readPlace("?pull=4bf92f3577b34da6a3ce929d0e0e4736")).toEqual({ ...HOME, pull: "4bf92f3577b34da6a3ce929d0e0e4736" });
});

test("every place can be written and read again", () => {
  const place = { ...HOME, view: "nodes", q: "ns:prod node:gpu* \"two words\" &=?", sort: "eta", isReversed: true, group: "node", pull: "x", pod: "a/b", node: "n 1", image: "ghcr.io/a/b:1@sha256:0", workload: "a/Deployment/b", list: "pods", by: "-size" } as const;
  expect(readPlace(writePlace(place))).toEqual(place);
  expect(writePlace(HOME)).toBe("");
  expect(writePlace({ ...HOME, q: "ns:prod is:stalled" })).toBe("?q=ns:prod+is:stalled");
});

test("what is not understood is left out", () => {
  expect(readPlace("?view=odd&sort=-odd&group=odd&odd=1")).toEqual({ ...HOME, isReversed: true });
});
