// Real pulls: a real containerd, a slow registry that also refuses, an agent and a collector, as `cargo xtask demo` plays them. What the page
// shows at each frame is held while they run, and at the end against the API.

import type { Page } from "playwright-core";
import { afterAll } from "vitest";
import type { PullStatus } from "../src/core/types";
import { startDemo } from "./kit/programs";
import { expect, test } from "./kit/test";

/** The acts that are watched take half a minute on a machine with nothing else to do. */
const ACTS = 120_000;

const demo = await startDemo();
afterAll(() => demo?.program.end());

/** What a bar showed, one entry for each change. */
interface Shown {
  name: string;
  now: number | undefined;
  width: number;
  words: string;
}

/** Notes what every bar of the table shows, frame by frame, from now on. */
const watchBars = (page: Page): Promise<void> =>
  page.evaluate(() => {
    const seen: Shown[] = [];
    const last = new Map<Element, string>();
    Object.assign(window, { seen });
    const look = (): void => {
      for (const bar of document.querySelectorAll(".grid-body [role=progressbar]")) {
        const percent = (part: string): number => parseFloat(bar.querySelector<HTMLElement>(part)?.style.width ?? "0");
        const now = bar.getAttribute("aria-valuenow");
        const shown: Shown = {
          name: bar.getAttribute("aria-label") ?? "",
          now: now === null ? undefined : Number(now),
          width: percent(".bar-cached") + percent(".bar-fetched"),
          words: bar.getAttribute("aria-valuetext") ?? "",
        };
        const text = JSON.stringify(shown);
        if (last.get(bar) !== text) seen.push(shown);
        last.set(bar, text);
      }
      requestAnimationFrame(look);
    };
    look();
  });

const barsOf = async (page: Page, name: string): Promise<Shown[]> =>
  (await page.evaluate(() => (window as unknown as { seen: Shown[] }).seen)).filter((shown) => shown.name.includes(name));

const ended = async (url: string, name: string, outcome: string): Promise<PullStatus | undefined> => {
  const answer = await fetch(`${url}/api/v1/pulls?q=${encodeURIComponent(name)}&outcome=${outcome}`);
  const { pulls } = (await answer.json()) as { pulls: PullStatus[] };
  return pulls[0];
};

test.skipIf(!demo)("real pulls are shown as they are: they only grow, fail with their reason, and end as the API says", { timeout: ACTS }, async ({ open }) => {
  const { url } = demo!;
  const page = await open("/", { at: url });
  await watchBars(page);
  await expect.poll(() => ended(url, "team/web", "ready"), { timeout: ACTS }).toBeDefined();
  await expect.poll(async () => (await barsOf(page, "team/web")).at(-1)?.now, { timeout: 5000 }).toBe(100);
  const fresh = await barsOf(page, "team/web");
  const numbers = fresh.flatMap(({ now }) => now ?? []);
  expect(numbers.length, "a pull of seconds is seen to grow").toBeGreaterThan(3);
  expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
  expect(fresh.map(({ width }) => width)).toEqual(fresh.map(({ width }) => width).sort((a, b) => a - b));
  expect(fresh.at(-1)?.words).toMatch(/^34 of 34 MiB fetched, 4 of 4 layers done$/);

  await expect.poll(() => ended(url, "team/tool", "failed"), { timeout: ACTS }).toMatchObject({ outcome: "failed" });
  await page.locator(".grid-body [role=row]", { hasText: "tool" }).first().click();
  await page.getByRole("complementary").getByText(/^Failed/).first().waitFor();
  const failed = await barsOf(page, "team/tool");
  expect(failed.filter(({ now }) => now === 100)).toEqual([]);
});
