// The overview and one pull, against the busy cluster: what is shown, what the keys do, and that the address holds all of it.

import { inject } from "vitest";
import { axe, expect, NARROW, rows, test, untilRows } from "./kit/test";

const url = (page: { url(): string }): URL => new URL(page.url());

/** A pull of the cluster that fits. */
async function found(query: string): Promise<{ id: string; imageRef: string; summary: string }> {
  const answer = await fetch(`${inject("busy")}/api/v1/pulls?limit=1&layers=false&${query}`);
  const [pull] = ((await answer.json()) as { pulls: { id: string; imageRef: string; summary: string }[] }).pulls;
  if (!pull) throw new Error(`no pull fits ${query}`);
  return pull;
}

test("a tile is a filter: pressed it shows what it counts, and the address says so", async ({ open }) => {
  const page = await open("/");
  await untilRows(page);
  await page.getByRole("button", { name: /^Failing/ }).click();
  await expect.poll(() => url(page).searchParams.get("q")).toBe("is:failing");
  await expect.poll(async () => (await rows(page)).every((row) => row.includes("failed"))).toBe(true);
  await page.reload();
  await untilRows(page);
  expect(await page.getByRole("button", { name: /^Failing/ }).getAttribute("aria-pressed")).toBe("true");
  await page.getByRole("button", { name: /^Failing/ }).click();
  expect(url(page).search).toBe("");
});

test("terms become chips, are completed by keys, and come back with the address", async ({ open }) => {
  const page = await open("/");
  await untilRows(page);
  await page.keyboard.press("/");
  await page.keyboard.type("registry:hub");
  await page.keyboard.press("Tab");
  await page.keyboard.type("nginx ");
  expect(url(page).searchParams.get("q")).toBe("registry:hub.example.net nginx");
  await expect.poll(() => page.locator(".chip").allInnerTexts().then((chips) => chips.map((chip) => chip.replace("×", "").trim()))).toEqual(["registry:hub.example.net", "nginx"]);
  await expect.poll(async () => (await rows(page)).every((row) => row.replaceAll("\n", "").includes("hub.example.net/library/"))).toBe(true);
  await page.keyboard.press("Backspace");
  expect(await page.getByRole("combobox", { name: "Filter pulls" }).inputValue()).toBe("nginx");
  await page.getByRole("button", { name: "Remove all filters" }).click();
  expect(url(page).search).toBe("");
});

test("filters that hide everything say how much, and how to see it", async ({ open }) => {
  const page = await open("/?q=no-such-thing");
  await page.getByText("No pull fits.").waitFor();
  await page.getByRole("button", { name: "Show all", exact: true }).click();
  await untilRows(page);
});

test("every column sorts both ways and back, and groups have headings that close", async ({ open }) => {
  const page = await open("/?q=is:active");
  await untilRows(page);
  const header = page.getByRole("columnheader", { name: "Node" });
  const sorts: (string | null)[] = [];
  for (let click = 0; click < 3; click++) {
    await header.getByRole("button").click();
    sorts.push(`${url(page).searchParams.get("sort")} ${await header.getAttribute("aria-sort")}`);
  }
  expect(sorts).toEqual(["node ascending", "-node descending", "null null"]);
  await page.getByLabel("Group").selectOption("registry");
  const group = page.locator(".grid-row.across").first();
  await group.waitFor();
  expect(url(page).searchParams.get("group")).toBe("registry");
  const before = Number(await page.getByRole("grid").getAttribute("aria-rowcount"));
  await group.click();
  await expect.poll(async () => Number(await page.getByRole("grid").getAttribute("aria-rowcount"))).toBeLessThan(before);
});

test("everything can be done with keys: down, open, close, help", async ({ open }) => {
  const page = await open("/");
  await untilRows(page);
  for (const key of ["j", "j", "k", "j"]) await page.keyboard.press(key);
  const grid = page.getByRole("grid", { name: "Pulls" });
  const active = await grid.getAttribute("aria-activedescendant");
  expect(await page.locator(`[id="${active}"]`).getAttribute("aria-rowindex")).toBe("3");
  await page.keyboard.press("Enter");
  await page.getByRole("complementary", { name: "The opened pull" }).waitFor();
  expect(url(page).searchParams.get("pull")).toMatch(/^[0-9a-f]{32}$/);
  await page.keyboard.press("Escape");
  await expect.poll(() => page.getByRole("complementary").count()).toBe(0);
  expect(url(page).searchParams.get("pull")).toBeNull();
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  expect(await axe(page)).toEqual([]);
  await page.keyboard.press("Escape");
  await page.keyboard.press("g");
  await page.keyboard.press("n");
  expect(url(page).searchParams.get("view")).toBe("nodes");
  await page.goBack();
  expect(url(page).search).toBe("");
});

test("only rows on the screen exist, however many pulls there are", async ({ open }) => {
  const page = await open("/");
  await untilRows(page);
  await expect.poll(async () => Number(await page.getByRole("grid").getAttribute("aria-rowcount"))).toBeGreaterThan(80);
  expect((await rows(page)).length).toBeLessThan(60);
  await page.getByRole("grid").focus();
  await page.keyboard.press("End");
  const count = await page.getByRole("grid").getAttribute("aria-rowcount");
  await expect.poll(async () => Number(await page.locator(".grid-row.active").getAttribute("aria-rowindex"))).toBeGreaterThan(Number(count) - 30);
});

test("rows stay where they are while the pointer is in the table", async ({ open }) => {
  const page = await open("/?q=is:active");
  await untilRows(page);
  await page.locator(".grid-body").hover({ position: { x: 300, y: 200 } });
  await page.getByText("Rows stay where they are").waitFor();
  const places = (): Promise<Record<string, string | null>> =>
    page.locator(".grid-body [role=row]").evaluateAll((rows) => Object.fromEntries(rows.map((row) => [row.querySelector(".image-name")?.getAttribute("title") + (row.textContent?.match(/[a-z-]+-(?:\d{3}|real)/)?.[0] ?? ""), row.getAttribute("aria-rowindex")])));
  const before = await places();
  const texts = await rows(page);
  await expect.poll(async () => (await rows(page)).join() !== texts.join()).toBe(true);
  await page.waitForTimeout(2000);
  const after = await places();
  const moved = Object.keys(before).filter((key) => key in after && after[key] !== before[key]);
  expect(moved).toEqual([]);
});

test("a link to a pull opens it: sentence, bytes that add up, layers, pods, and axe finds nothing", async ({ open }) => {
  const { id, imageRef } = await found("q=warehouse&active=true");
  for (const wish of [{}, { theme: "dark" }, { size: NARROW }] as const) {
    const page = await open(`/?pull=${id}`, wish);
    const pull = page.getByRole("complementary", { name: "The opened pull" });
    await pull.getByText(/^Stalled: no byte from/).waitFor();
    expect((await pull.getByRole("heading", { level: 2 }).innerText()).replaceAll("\n", "")).toBe(imageRef);
    expect(await pull.locator(".bytes").innerText()).toMatch(/was here\s*\+\s*.*fetched\s*\+\s*.*to fetch\s*=\s*134 MiB/);
    expect(await pull.getByRole("progressbar").getAttribute("aria-valuetext")).toMatch(/^40 %, 53 of 134 MiB fetched/);
    expect(await pull.locator(".waterfall tbody tr").count()).toBeGreaterThan(1);
    await pull.getByText("warehouse", { exact: true }).waitFor();
    expect(await axe(page)).toEqual([]);
  }
});

test("a failure says what was said, what helps and what came before", async ({ open }) => {
  const { id } = await found("q=no+space+left&outcome=failed");
  const page = await open(`/?pull=${id}`);
  const pull = page.getByRole("complementary");
  await pull.getByText(/^Failed: no space left on device\./).waitFor();
  await pull.getByRole("button", { name: /All that failed like this/ }).click();
  expect(url(page).searchParams.get("q")).toBe("class:no_space");
  expect(await pull.getByRole("link", { name: "JSON" }).getAttribute("href")).toContain(`/api/v1/pulls/${id}`);
});

test("a pull that nobody knows is said to be gone", async ({ open }) => {
  const page = await open(`/?pull=${"f".repeat(32)}`, { expected: /404/ });
  await page.getByText("This pull is not in memory any more.").waitFor();
});

test("what was copied is what is meant, and is said", async ({ open, world }) => {
  const context = await world.browser.newContext({ permissions: ["clipboard-read", "clipboard-write"] });
  const { id } = await found("active=true");
  const page = await open(`/?pull=${id}`, { context });
  await page.getByRole("button", { name: "Copy trace id" }).click();
  await page.getByRole("status").getByText("copied").waitFor();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(id);
});

test("theme, times and density are kept", async ({ open, world }) => {
  const context = await world.browser.newContext({ colorScheme: "dark" });
  const page = await open("/", { context });
  await untilRows(page);
  expect(await page.locator("html").getAttribute("data-theme")).toBe("dark");
  await page.getByRole("button", { name: "Theme: system" }).click();
  await page.getByRole("button", { name: "Rows: compact" }).click();
  await page.getByRole("button", { name: "Times: relative" }).click();
  await page.reload();
  await untilRows(page);
  expect(await page.locator("html").getAttribute("data-theme")).toBe("light");
  expect((await page.locator(".grid-body [role=row]").first().boundingBox())?.height).toBe(40);
  await page.getByRole("button", { name: "Times: local" }).waitFor();
});
