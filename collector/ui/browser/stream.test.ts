// What the page does when the stream breaks, the machine sleeps, clocks differ, or nobody may read: it is true again within a second, and says so
// meanwhile. Against a collector of its own.

import type { Page } from "playwright-core";
import { afterAll, beforeAll } from "vitest";
import { Collector, type ReportedPull } from "./kit/programs";
import { json, Proxy, stream } from "./kit/proxy";
import { expect, rows as cells, test, untilRows } from "./kit/test";

let collector: Collector;
const STARTED = new Date().toISOString();

const pull = (name: string, downloadedBytes: number): ReportedPull => ({
  imageRef: `registry.example.com/team/${name}:1`,
  startedAt: STARTED,
  layers: [{ digest: `sha256:${Buffer.from(name).toString("hex").padEnd(64, "0")}`, totalBytes: 1000, downloadedBytes }],
});

const REFUSED = /ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|502|ERR_ABORTED/;

/** The rows as one text; names stand in several parts. */
const rows = async (page: Page): Promise<string> => (await cells(page)).join("\n").replaceAll("/\n", "/");

const counted = (proxy: Proxy): number => proxy.asked.filter((path) => path.endsWith("/frames")).length;

/** Puts the tab to sleep or wakes it, as far as a page can tell. */
const see = (page: Page, isHidden: boolean): Promise<void> =>
  page.evaluate((isHidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => isHidden });
    document.dispatchEvent(new Event("visibilitychange"));
  }, isHidden);

beforeAll(async () => {
  collector = await Collector.start();
});
afterAll(() => collector.remove());

test("nothing to show says what is connected and how to make a test pull", async ({ open }) => {
  const page = await open("/", { at: collector.url });
  await page.getByText("No agent is connected.").waitFor();
  await collector.report("node-0", []);
  await page.getByText(/^To see one, pull an image/).waitFor();
  await page.getByText("1 agent of 1 connected, 0 pulls in memory.").waitFor();
});

test("after a restart of the collector the page is true again, and says meanwhile since when it is not", async ({ open }) => {
  await collector.report("node-1", [pull("old", 500)]);
  const page = await open("/", { at: collector.url, expected: REFUSED });
  await untilRows(page);
  await collector.end("SIGKILL");
  await page.getByText(/^Stale since \d\d:\d\d:\d\d/).waitFor();
  expect(await rows(page)).toContain("team/old:1");
  await collector.begin();
  await collector.report("node-1", [pull("new", 250)]);
  await page.locator(".grid-body").getByText("new:1").waitFor();
  await page.locator(".live.live").waitFor();
  expect(await rows(page)).not.toContain("team/old:1");
  expect(await page.getByText(/^Stale since/).count()).toBe(0);
});

test("seven tabs are one connection, also when the first is closed", async ({ open, world }) => {
  const proxy = await Proxy.start(collector.url);
  const context = await world.browser.newContext();
  const tabs: Page[] = [];
  for (let tab = 0; tab < 7; tab++) tabs.push(await open("/", { at: proxy.url, context }));
  for (const tab of tabs) await untilRows(tab);
  expect(counted(proxy)).toBe(1);
  await tabs[0]?.close();
  await collector.report("node-7", [pull("seven", 100)]);
  for (const tab of tabs.slice(1)) await tab.locator(".grid-body").getByText("seven:1").waitFor();
  expect(counted(proxy)).toBe(1);
  await context.close();
  await proxy.end();
});

test("without shared workers tabs still share one connection, and the next takes over", async ({ open, world }) => {
  const proxy = await Proxy.start(collector.url);
  const context = await world.browser.newContext();
  await context.addInitScript(() => void Reflect.deleteProperty(globalThis, "SharedWorker"));
  const tabs: Page[] = [];
  for (let tab = 0; tab < 3; tab++) tabs.push(await open("/", { at: proxy.url, context, expected: REFUSED }));
  for (const tab of tabs) await untilRows(tab);
  expect(counted(proxy)).toBe(1);
  await tabs[0]?.close();
  await expect.poll(() => counted(proxy)).toBe(2);
  await collector.report("node-8", [pull("eight", 100)]);
  for (const tab of tabs.slice(1)) await tab.locator(".grid-body").getByText("eight:1").waitFor();
  expect(counted(proxy)).toBe(2);
  await context.close();
  await proxy.end();
});

test("a tab that slept is true within a second of being seen", async ({ open }) => {
  const page = await open("/", { at: collector.url });
  await untilRows(page);
  await see(page, true);
  await collector.report("node-9", [pull("nine", 100)]);
  await collector.report("node-9", [pull("nine", 700)]);
  await page.waitForTimeout(600);
  expect(await rows(page)).not.toContain("nine:1");
  const woken = Date.now();
  await see(page, false);
  await page.locator(".grid-body").getByText("nine:1").waitFor();
  expect(Date.now() - woken).toBeLessThan(1000);
});

for (const kind of ["with", "without"]) {
  test(`a browser that was offline, ${kind} shared workers, says so and is true again when it is back`, async ({ open, world }) => {
    const context = await world.browser.newContext();
    if (kind === "without") await context.addInitScript(() => void Reflect.deleteProperty(globalThis, "SharedWorker"));
    const proxy = await Proxy.start(collector.url);
    const page = await open("/", { at: proxy.url, context, expected: /ERR_INTERNET_DISCONNECTED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_NETWORK_CHANGED|ERR_CONNECTION|ERR_EMPTY_RESPONSE/ });
    await untilRows(page);
    await context.setOffline(true);
    proxy.cut();
    await page.getByText(/^Stale since \d\d:\d\d:\d\d/).waitFor();
    await collector.report(`node-off-${kind}`, [pull(`offline-${kind}`, 100)]);
    proxy.mend();
    await context.setOffline(false);
    await page.locator(".grid-body").getByText(`offline-${kind}:1`).waitFor();
    expect(await page.getByText(/^Stale since/).count()).toBe(0);
    await context.close();
    await proxy.end();
  });
}

test("ages do not depend on the clock of this machine", async ({ open, world }) => {
  const context = await world.browser.newContext();
  await context.addInitScript(() => {
    const now = Date.now.bind(Date);
    Date.now = () => now() + 7_200_000;
  });
  await collector.report("node-10", [pull("ten", 100)]);
  const page = await open("/?q=ten", { at: collector.url, context });
  await untilRows(page);
  await expect.poll(() => page.locator(".grid-body [role=row] .cell").last().innerText()).toMatch(/^\d+ [sm]$/);
});

test("it works below a path prefix", async ({ open }) => {
  const proxy = await Proxy.start(collector.url, "/tools/pulltrace");
  const page = await open("/?q=node:node-1", { at: proxy.url });
  await untilRows(page);
  await page.locator(".grid-body [role=row]").first().click();
  await page.getByRole("complementary").getByText("Layers").first().waitFor();
  expect(new URL(page.url()).pathname).toBe("/tools/pulltrace/");
  expect(proxy.asked.every((path) => path.startsWith("/tools/pulltrace/"))).toBe(true);
  await page.close();
  await proxy.end();
});

test("who may not read is told so, and where to go", async ({ open }) => {
  const guarded = await Collector.start({ PULLTRACE_READ_TOKEN: "0123456789abcdef" });
  const page = await open("/", { at: guarded.url, expected: /401/ });
  await page.getByText("You may not read this.").waitFor();
  await page.close();
  await guarded.remove();
});

test("names and errors are text, whatever they hold", async ({ open }) => {
  const evil = `<img src=x onerror=alert(1)>\u202egnp.app\u0007`;
  const whole = {
    id: "e".repeat(32), nodeName: `node${evil}`, containerdNamespace: "k8s.io", imageRef: `registry.example.com/${evil}:1`, registry: evil, phase: "downloading", outcome: "failed",
    summary: `Failed: ${evil}.`, error: `${evil} and more`, errorClass: "other", totalKnown: false, downloadedBytes: 0, cachedBytes: 0, layerCount: 0, layersDone: 0, layersCached: 0,
    startedAt: STARTED, updatedAt: STARTED, completedAt: STARTED, stale: false, pods: [{ namespace: evil, podName: evil, container: evil }],
  };
  const proxy = await Proxy.start(collector.url, "", {
    "/api/v1/frames": stream({ whole: [[1, whole]] }),
    [`/api/v1/pulls/${whole.id}`]: json({ ...whole, layers: [], attempts: [], timeline: [] }),
  });
  const page = await open(`/?pull=${whole.id}`, { at: proxy.url });
  await untilRows(page);
  const panel = page.getByRole("complementary");
  await panel.getByText("and more").waitFor();
  expect(await panel.locator(".failure pre").innerText()).toBe("<img src=x onerror=alert(1)>U+202Egnp.appU+0007 and more");
  expect(await page.locator("img").count()).toBe(0);
  expect(await page.locator("body").innerText()).not.toMatch(/[\u202e\u0007]/);
  expect(await page.evaluate(() => [...document.querySelectorAll("*")].flatMap((element) => element.getAttributeNames().map((name) => element.getAttribute(name) ?? "")).some((value) => /[\u202e\u0007]/.test(value)))).toBe(false);
  await page.close();
  await proxy.end();
});
