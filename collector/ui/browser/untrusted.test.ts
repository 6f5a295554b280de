// Names and errors are other people's text. A proxy puts the worst of it into the answers of the API and the stream: it is shown, nothing of it runs,
// what cannot be seen is shown by its code, and no view breaks.

import { afterAll, beforeAll, inject } from "vitest";
import type { Page } from "playwright-core";
import { json, Proxy, stream } from "./kit/proxy";
import { expect, test } from "./kit/test";

/** Markup, the end of an attribute, a line that runs from right to left, controls, an unpaired surrogate. */
const EVIL = `<img src=x onerror="alert(1)">'"><script>alert(2)</script>\u202Eevil\u0007\u200Bz\uD800`;
const ID = "b".repeat(32);
const AT = "2026-01-01T00:00:00Z";

const pull = {
  id: ID, nodeName: `node ${EVIL}`, containerdNamespace: EVIL, imageRef: `ghcr.io/${EVIL}:1`, registry: EVIL, phase: "downloading", summary: `Failed: ${EVIL}`,
  outcome: "failed", error: EVIL, errorClass: "other", errorHint: EVIL, totalBytes: 1000, totalKnown: true, downloadedBytes: 10, cachedBytes: 0, layerCount: 1, layersDone: 0,
  layersCached: 0, startedAt: AT, updatedAt: AT, completedAt: AT, stale: false,
  pods: [{ namespace: EVIL, podName: EVIL, container: EVIL, image: EVIL, workload: { kind: EVIL, name: EVIL } }],
};
const node = { name: `node ${EVIL}`, cluster: EVIL, runtime: EVIL, version: EVIL, agentVersion: EVIL, reachable: true, lastSeen: AT, connected: true, queuedImages: [EVIL] };
const image = {
  imageRef: `ghcr.io/${EVIL}:1`, registry: EVIL, pulls: 1, active: 0, ready: 0, failed: 1, canceled: 0, lost: 0, downloadedBytes: 1, cachedBytes: 1, nodeCount: 1, nodes: [`node ${EVIL}`],
  failures: [{ errorClass: EVIL, count: 1, lastAt: AT, error: EVIL, errorHint: EVIL }], lastStartedAt: AT,
};
/** The address of a workload is cut at slashes, so this one has none. */
const FLAT = EVIL.replaceAll("/", "").replace("\uD800", "");
const workload = { namespace: FLAT, kind: FLAT, name: FLAT, summary: EVIL, nodesDone: 0, nodesPulling: 0, nodesQueued: 0, nodesFailed: 1 };
const item = { namespace: EVIL, podName: EVIL, nodeName: `node ${EVIL}`, workload: { kind: EVIL, name: EVIL }, state: "failed", pullId: ID, containerCount: 1, summary: EVIL };
const pod = {
  namespace: EVIL, podName: EVIL, nodeName: `node ${EVIL}`, uid: "u", workload: { kind: EVIL, name: EVIL }, imagesReady: false, stale: false, summary: EVIL, pulls: [pull],
  containers: [{ container: EVIL, kind: "main", image: EVIL, state: "failed", pullId: ID, error: EVIL, errorHint: EVIL }],
};

const ANSWERS = {
  "/api/v1/frames": stream({ whole: [[1, pull]] }),
  "/api/v1/ui": json({ version: "1", cluster: EVIL, historySeconds: 1800 }),
  "/api/v1/nodes": json({ nodes: [node] }),
  "/api/v1/images": json({ images: [image] }),
  "/api/v1/workloads": json({ workloads: [workload] }),
  "/api/v1/pods": json({ pods: [item] }),
  [`/api/v1/pulls/${ID}`]: json({ ...pull, layers: [], attempts: [{ pullId: ID, current: true, source: "agent", startedAt: AT, outcome: "failed", error: EVIL, errorHint: EVIL }], timeline: [] }),
  "/api/v1/pods/a/b": json(pod),
};

/** The text is there as text, with codes for what cannot be seen, and made no element. */
async function isSafe(page: Page): Promise<void> {
  // What the address says is there at once, what the collector says a little later.
  await page.getByText("<script>alert(2)</script>").first().waitFor();
  const text = await page.locator("body").innerText();
  expect(text).toContain("U+202E");
  expect(await page.locator("main script, main img").count()).toBe(0);
  // A title or label is text too, and its hidden characters are shown.
  const attributes = await page.evaluate(() => [...document.querySelectorAll("[title], [aria-label], [aria-valuetext]")].flatMap((element) => ["title", "aria-label", "aria-valuetext"].map((name) => element.getAttribute(name) ?? "")));
  expect(attributes.filter((text) => /[\u202e\u0007\u200b]/.test(text))).toEqual([]);
  expect(await page.evaluate(() => document.body.innerText.match(/[\u202e\u0007\u200b]/g))).toBeNull();
}

const encoded = encodeURIComponent;
const name = EVIL.replace("\uD800", "");


const PLACES = [
  "/", `/?pull=${ID}`, "/?view=workloads", "/?view=workloads&list=pods", "/?view=nodes", `/?view=nodes&node=${encoded(`node ${name}`)}`, "/?view=images", "/?view=workloads&pod=a/b",
  `/?view=workloads&workload=${encoded(`${FLAT}/${FLAT}/${FLAT}`)}`, "/embed/pod/a/b", `/?group=image&q=${encoded(`"${name}"`)}`,
];

let proxy: Proxy;
beforeAll(async () => {
  proxy = await Proxy.start(inject("busy"), "", ANSWERS);
});
afterAll(() => proxy.end());

for (const place of PLACES)
  test(`the worst of names is only a name at ${decodeURIComponent(place).slice(0, 36)}`, async ({ open }) => {
    const page = await open(place, { at: proxy.url });
    await page.getByText("U+202E").first().waitFor();
    await isSafe(page);
  });
