// `test` with a browser. Every tab that a test opens is watched: errors on the console, exceptions, violations of the policy, requests to other
// origins. Any of them fails the test at its end, unless the test says that it expects it.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { expect, inject, test as plain } from "vitest";
import { chromiumPath } from "./programs";
import { wall } from "./proxy";

/** The browser may speak to nobody, and makes no sandbox, which root cannot have. */
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** What a browser asks of its maker, whatever page it shows. Fonts and scripts are not among it. */
const MAKER = /^(https?:\/\/)?(accounts|update|content-autofill|optimizationguide-pa|android\.clients|clients\d?|safebrowsing)\.(google|googleapis)\.com\b/;
/** How long a page may take to show what a test waits for, milliseconds. */
const PATIENCE = 15_000;

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export const WIDE = { width: 1440, height: 900 };
export const NARROW = { width: 390, height: 844 };

export interface Wish {
  /** Where the application's root is; the busy cluster unless said. */
  at?: string;
  size?: { width: number; height: number };
  theme?: "light" | "dark";
  /** Complaints of the browser that belong to the test, such as refused connections while a collector is away. */
  expected?: RegExp;
  /** A browser of its own as far as storage and workers go; tabs of one are made by `open` with the same. */
  context?: BrowserContext;
  /** Origins that may be asked beside the one of the page. */
  origins?: string[];
}

/** Opens a path below the root, such as `/?view=nodes`. */
export type Open = (path: string, wish?: Wish) => Promise<Page>;

interface World {
  browser: Browser;
  wanted: string[];
}

export const test = plain.extend<{ world: World; open: Open }>({
  world: [
    async ({}, use) => {
      const outside = await wall();
      const browser = await chromium.launch({ executablePath: chromiumPath(), args: FLAGS, proxy: { server: outside.url, bypass: "127.0.0.1" } });
      await use({ browser, wanted: outside.wanted });
      await browser.close();
      await outside.end();
    },
    { scope: "file" },
  ],
  open: async ({ world }, use) => {
    const complaints: string[] = [];
    const contexts = new Set<BrowserContext>();
    world.wanted.length = 0;
    await use(async (path, { at = inject("busy"), size = WIDE, theme = "light", expected, context, origins = [] } = {}) => {
      const own = context ?? (await world.browser.newContext({ viewport: size, colorScheme: theme }));
      contexts.add(own);
      const page = await own.newPage();
      page.setDefaultTimeout(PATIENCE);
      await watch(page, [new URL(at).origin, ...origins], (text) => expected?.test(text) || complaints.push(text));
      await page.goto(at + path);
      return page;
    });
    for (const context of contexts) await context.close();
    expect(complaints, "the browser had nothing to complain of").toEqual([]);
    expect(world.wanted.filter((url) => !MAKER.test(url)), "nobody outside was asked").toEqual([]);
  },
});

async function watch(page: Page, origins: string[], complain: (text: string) => void): Promise<void> {
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complain(`console: ${message.text()} (${message.location().url})`));
  page.on("pageerror", (error) => complain(`exception: ${error.stack ?? error.message}`));
  page.on("dialog", (dialog) => {
    complain(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (["http:", "https:", "ws:", "wss:"].includes(url.protocol) && !origins.includes(url.origin)) complain(`another origin: ${url.href}`);
  });
  await page.exposeFunction("violated", (what: string) => complain(`policy: ${what}`));
  await page.addInitScript(() => {
    const { violated } = window as unknown as { violated(what: string): void };
    document.addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI, sourceFile }) => violated(`${effectiveDirective} ${blockedURI} ${sourceFile}`));
  });
}

/** What axe finds wrong with the page as it is: WCAG 2.2 A and AA, and good practice. Empty if nothing. */
export async function axe(page: Page): Promise<string[]> {
  // Through the debugger, which no policy of the page holds.
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    interface Found {
      violations: { id: string; help: string; nodes: { target: unknown; failureSummary?: string }[] }[];
    }
    const { axe } = window as unknown as { axe: { run(root: Document, options: unknown): Promise<Found> } };
    const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
    const { violations } = await axe.run(document, { runOnly: tags });
    return violations.map(({ id, help, nodes }) => `${id}: ${help}\n${nodes.slice(0, 4).map(({ target, failureSummary }) => `  ${JSON.stringify(target)} ${failureSummary}`).join("\n")}`);
  });
}

/** The rows of the table that stand on the screen, as text. */
export const rows = (page: Page): Promise<string[]> => page.locator(".grid-body [role=row]").allInnerTexts();

/** Waits until the table has rows. */
export const untilRows = (page: Page): Promise<void> => page.locator(".grid-body [role=row]").first().waitFor();

export { expect } from "vitest";
