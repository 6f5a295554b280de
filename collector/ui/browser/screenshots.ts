// `cargo xtask screenshots`: every view as people see it, light and dark, wide and narrow, busy, failing and empty, into `docs/ui/`. Each is to be
// looked at: what is ugly there is ugly for everyone.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { inject } from "vitest";
import { Collector, startScenario } from "./kit/programs";
import { NARROW, test, untilRows, WIDE } from "./kit/test";

const FOLDER = new URL("../../../docs/ui/", import.meta.url).pathname;
/** Until sparklines say something, milliseconds. */
const LIVED_IN = 25_000;

/** The widget in a notebook, and beside one. */
const SMALL = [{ width: 560, height: 160 }, { width: 320, height: 160 }];

interface Picture {
  name: string;
  at: string;
  path: string;
  /** Of a part that stands in other pages. */
  isSmall?: boolean;
  ready(page: Page): Promise<unknown>;
}

const first = async <T>(at: string, path: string, of: (answer: never) => T[]): Promise<T> => {
  const [found] = of((await (await fetch(at + path)).json()) as never);
  if (found === undefined) throw new Error(`nothing at ${path}`);
  return found;
};

interface Pull {
  id: string;
  pods?: { namespace: string; podName: string }[];
}

const pull = (at: string, query: string): Promise<Pull> => first(at, `/api/v1/pulls?layers=false&${query}`, ({ pulls }: { pulls: Pull[] }) => pulls);

async function pictures(busy: string, failing: string, empty: string): Promise<Picture[]> {
  const large = await pull(busy, "registry=far.example.org&image=ml/trainer&active=true");
  const failed = await pull(failing, "outcome=failed&q=missing");
  const waiting = await first(busy, "/api/v1/pulls?layers=false&active=true&q=trainer", ({ pulls }: { pulls: Pull[] }) => pulls.flatMap(({ pods }) => pods ?? []));
  const panel = (page: Page): Promise<void> => page.locator(".waterfall tbody tr").first().waitFor();
  const rows = untilRows;
  return [
    { name: "pulls", at: busy, path: "/?q=is:active", ready: rows },
    { name: "pulls-grouped", at: busy, path: "/?group=workload", ready: rows },
    { name: "pull", at: busy, path: `/?q=is:active&pull=${large.id}`, ready: panel },
    { name: "workloads", at: busy, path: "/?view=workloads", ready: rows },
    { name: "nodes", at: busy, path: "/?view=nodes", ready: rows },
    { name: "images", at: busy, path: "/?view=images", ready: rows },
    { name: "widget", at: busy, path: `/embed/pod/${waiting.namespace}/${waiting.podName}`, isSmall: true, ready: (page) => page.getByRole("progressbar").first().waitFor() },
    { name: "failing", at: failing, path: "/", ready: rows },
    { name: "failing-pull", at: failing, path: `/?pull=${failed.id}`, ready: (page) => page.locator(".attempts").waitFor() },
    { name: "empty", at: empty, path: "/", ready: (page) => page.getByText("No agent is connected.").waitFor() },
  ];
}

test("every view is drawn", { timeout: 900_000 }, async ({ open }) => {
  mkdirSync(FOLDER, { recursive: true });
  const failing = await startScenario(["failing", "rate-limited"], 8);
  const empty = await Collector.start();
  // Tries follow one another in the failing one, and pods have waited long enough to be told.
  await new Promise((soon) => setTimeout(soon, LIVED_IN));
  for (const picture of await pictures(inject("busy"), failing.url, empty.url)) {
    const looks = (picture.isSmall ? SMALL : [WIDE, NARROW]).flatMap((size) => (["light", "dark"] as const).map((theme) => ({ size, theme })));
    const pages = await Promise.all(looks.map((look) => open(picture.path, { at: picture.at, ...look })));
    await Promise.all(pages.map((page) => picture.ready(page)));
    await pages[0]?.waitForTimeout(picture.at === empty.url ? 1_000 : LIVED_IN);
    for (const [at, page] of pages.entries()) {
      const { size, theme } = looks[at] as (typeof looks)[number];
      await page.screenshot({ path: join(FOLDER, `${picture.name}-${theme}-${size.width}.png`) });
      await page.close();
    }
  }
  await failing.program.end();
  await empty.remove();
});
