// `cargo xtask bench ui`: what the page costs with 5,000 pulls that change once a second, in a real Chromium against a real collector. It asserts
// the promises, prints the numbers and leaves them in `bench-results/`.

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { CDPSession, Page } from "playwright-core";
import { Collector, type ReportedPull } from "./kit/programs";
import { expect, test } from "./kit/test";

const [NODES, PER_NODE] = [100, 50];
const MINUTES = Number(process.env["BENCH_MINUTES"] ?? 10);
const LAYER = 4_000_000_000;
/** What is promised. */
const MOST = { scriptingMs: 16, paintMs: 1000, bundleBytes: 150_000, growthBytes: 4_000_000 };

const STARTED = new Date().toISOString();
const digest = (node: number, pull: number): string => `sha256:${(node * 1000 + pull).toString(16).padStart(64, "0")}`;

/** Every node reports all its pulls once a second, spread over the second. */
class Feed {
  #beat = 0;
  #ending = false;
  #late = 0;
  readonly #running: Promise<void>;

  constructor(private readonly collector: Collector) {
    this.#running = this.#run();
  }

  /** Seconds that took longer than one. */
  get late(): number {
    return this.#late;
  }

  async end(): Promise<void> {
    this.#ending = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#ending) {
      const began = performance.now();
      this.#beat++;
      for (let from = 0; from < NODES; from += 10) {
        await Promise.all(Array.from({ length: 10 }, (_, node) => this.collector.report(`node-${from + node}`, this.#pulls(from + node))));
        const due = began + (1000 * (from + 10)) / NODES;
        await new Promise((soon) => setTimeout(soon, Math.max(0, due - performance.now())));
      }
      if (performance.now() - began > 1250) this.#late++;
    }
  }

  #pulls(node: number): ReportedPull[] {
    return Array.from({ length: PER_NODE }, (_, pull) => ({
      imageRef: `registry-${pull % 5}.example.com/team-${node % 7}/app-${pull}:1.${node}`,
      startedAt: STARTED,
      layers: [{ digest: digest(node, pull), totalBytes: LAYER, downloadedBytes: Math.min(LAYER, this.#beat * (1_000_000 + pull * 50_000)) }],
    }));
  }
}

const median = (numbers: number[]): number => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
const share = (numbers: number[], of: number): number => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length * of)] ?? Number.NaN;

/** Milliseconds of script in each frame in which the page drew what had come. */
async function scripting(page: Page, session: CDPSession, milliseconds: number): Promise<number[]> {
  const frames: number[] = [];
  session.on("Tracing.dataCollected", ({ value }) => {
    for (const { name, dur } of value as unknown as { name: string; dur?: number }[]) if (name === "FireAnimationFrame" && dur !== undefined) frames.push(dur / 1000);
  });
  await session.send("Tracing.start", { transferMode: "ReportEvents", traceConfig: { includedCategories: ["devtools.timeline"] } });
  await page.waitForTimeout(milliseconds);
  const complete = new Promise((done) => session.once("Tracing.tracingComplete", done));
  await session.send("Tracing.end");
  await complete;
  return frames;
}

/** Bytes of the page's heap that are in use after everything unused was thrown away. */
async function heap(session: CDPSession): Promise<number> {
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = (await session.send("Runtime.getHeapUsage")) as { usedSize: number };
  return usedSize;
}

/** What the first visit of the page loads, compressed. */
function bundle(): number {
  const folder = new URL("../dist/", import.meta.url).pathname;
  const html = readFileSync(join(folder, "index.html"), "utf8");
  const worker = readdirSync(join(folder, "assets")).filter((name) => /^worker.*\.js$/.test(name));
  const files = [...html.matchAll(/"\.\/(assets\/[^"]+)"/g)].map(([, path]) => path as string).concat(worker.map((name) => `assets/${name}`));
  return files.reduce((sum, path) => sum + gzipSync(readFileSync(join(folder, path))).length, gzipSync(html).length);
}

test(`5,000 live pulls at 1 Hz for ${MINUTES} minutes`, { timeout: (MINUTES + 5) * 60_000 }, async ({ open, world }) => {
  const collector = await Collector.start({ PULLTRACE_EVENT_LOG: "off" });
  const feed = new Feed(collector);
  await expect.poll(async () => ((await (await fetch(`${collector.url}/api/v1/summary`)).json()) as { active: number }).active, { timeout: 60_000 }).toBe(NODES * PER_NODE);
  const context = await world.browser.newContext({ viewport: { width: 1440, height: 900 } });
  await context.addInitScript(() => {
    const look = new MutationObserver(() => {
      if (!document.querySelector(".grid-body [role=row]")) return;
      look.disconnect();
      requestAnimationFrame(() => setTimeout(() => ((globalThis as { painted?: number }).painted = performance.now())));
    });
    look.observe(document, { childList: true, subtree: true });
  });
  // Once to warm what a browser keeps, then as a person opens it.
  for (let visit = 0; visit < 2; visit++) await (await open("/", { at: collector.url, context })).close();
  const page = await open("/", { at: collector.url, context });
  await expect.poll(() => page.evaluate(() => (globalThis as { painted?: number }).painted !== undefined)).toBe(true);
  const paintMs = await page.evaluate(() => (globalThis as { painted?: number }).painted ?? Number.NaN);
  await expect.poll(() => page.getByRole("grid").getAttribute("aria-rowcount"), { timeout: 20_000 }).toBe(String(NODES * PER_NODE + 1));

  const session = await context.newCDPSession(page);
  await page.waitForTimeout(5_000);
  const frames = (await scripting(page, session, 30_000)).filter((milliseconds) => milliseconds > 0.2);
  // After the sparklines are full nothing has a reason to grow.
  const warm = Math.min(2, MINUTES / 3);
  await page.waitForTimeout(warm * 60_000);
  const heaps = [await heap(session)];
  for (let minute = warm; minute < MINUTES; minute++) {
    await page.waitForTimeout(Math.min(1, MINUTES - minute) * 60_000);
    heaps.push(await heap(session));
  }
  const fixed = (number: number): number => Math.round(number * 10) / 10;
  const result = {
    pulls: NODES * PER_NODE,
    minutes: MINUTES,
    frames: frames.length,
    scriptingMs: { median: fixed(median(frames)), p95: fixed(share(frames, 0.95)), max: fixed(Math.max(...frames)) },
    firstUsefulPaintMs: Math.round(paintMs),
    heapMiB: heaps.map((bytes) => fixed(bytes / 2 ** 20)),
    bundleBytesGzip: bundle(),
    secondsThatTookLonger: feed.late,
  };
  console.log(JSON.stringify(result, null, 2));
  const results = new URL("../../../bench-results/", import.meta.url).pathname;
  mkdirSync(results, { recursive: true });
  writeFileSync(join(results, "ui.json"), `${JSON.stringify(result, null, 2)}\n`);
  await context.close();
  await feed.end();
  await collector.remove();
  expect(result.scriptingMs.median).toBeLessThanOrEqual(MOST.scriptingMs);
  expect(result.firstUsefulPaintMs).toBeLessThanOrEqual(MOST.paintMs);
  expect(result.bundleBytesGzip).toBeLessThanOrEqual(MOST.bundleBytes);
  expect(Math.max(...heaps) - (heaps[0] ?? 0)).toBeLessThanOrEqual(MOST.growthBytes);
});
