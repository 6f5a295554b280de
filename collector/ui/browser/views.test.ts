// Every view in both themes, wide and narrow: it comes up and axe finds nothing; and what the views of workloads, pods, nodes and images do: filters
// and what is open stand in the address, keys walk, everything leads on.

import { inject } from "vitest";
import type { Page } from "playwright-core";
import { axe, expect, NARROW, rows, test, untilRows, WIDE } from "./kit/test";

const query = (page: Page): URLSearchParams => new URL(page.url()).searchParams;

/** An answer of the busy cluster's API. */
const asked = async <T>(path: string): Promise<T> => (await fetch(`${inject("busy")}/api/v1/${path}`)).json() as Promise<T>;

const VIEWS = ["/?view=pulls", "/?view=workloads", "/?view=workloads&list=pods", "/?view=nodes", "/?view=images"];
const LOOKS = [
  ["light", WIDE],
  ["dark", WIDE],
  ["dark", NARROW],
] as const;

/** In both themes, wide and narrow: axe finds nothing, and nothing is wider than the page. */
async function isForEveryone(page: Page): Promise<void> {
  for (const [colorScheme, size] of LOOKS) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize(size);
    expect(await axe(page), `${colorScheme}, ${size.width} px`).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(size.width);
  }
}

for (const view of VIEWS)
  test(`${view} can be used by everyone, in both themes, wide and narrow`, async ({ open }) => {
    const page = await open(view);
    await untilRows(page);
    await isForEveryone(page);
  });

/** Things that are there as long as the cluster is played. */
const OPENED = ["/?view=workloads&workload=shop/Deployment/web", "/?view=nodes&node=queue-000", "/?view=images&image=registry.example.com/team/secret:1.1"];

for (const place of OPENED)
  test(`what is open at ${place} can be used by everyone`, async ({ open }) => {
    const page = await open(place);
    await page.locator("aside .section").first().waitFor();
    await isForEveryone(page);
  });

test("filters narrow each view, stand in the address, and survive a reload", async ({ open }) => {
  const page = await open("/?view=nodes");
  await untilRows(page);
  await page.keyboard.press("/");
  await page.keyboard.type("node:queue-* ");
  await expect.poll(async () => (await rows(page)).every((row) => row.includes("queue-"))).toBe(true);
  expect(query(page).get("q")).toBe("node:queue-*");
  await page.reload();
  await untilRows(page);
  expect((await rows(page)).every((row) => row.includes("queue-"))).toBe(true);
  expect(await page.locator(".foot").innerText()).toMatch(/^3 nodes; filters hide \d+ show all/);
  await page.getByRole("button", { name: "show all" }).click();
  await expect.poll(async () => (await rows(page)).some((row) => !row.includes("queue-"))).toBe(true);
  expect(query(page).get("q")).toBeNull();
});

test("filters that hide everything say how much; a filter that means nothing to the view says so", async ({ open }) => {
  const page = await open("/?view=images&q=no-such-thing");
  await page.getByText("No image fits.").waitFor();
  await page.getByRole("button", { name: "Show all", exact: true }).click();
  await untilRows(page);
  await page.goto(`${inject("busy")}/?view=workloads&q=registry:hub.example.net`);
  await untilRows(page);
  expect(await page.locator(".foot").innerText()).toContain("not a matter of workloads: registry:hub.example.net");
});

test("a column sorts both ways, and the address says by what", async ({ open }) => {
  const page = await open("/?view=images");
  await untilRows(page);
  const head = page.getByRole("columnheader", { name: /^Image/ });
  await head.getByRole("button").click();
  await page.mouse.move(0, 0);
  expect(query(page).get("by")).toBe("image");
  expect(await head.getAttribute("aria-sort")).toBe("ascending");
  const names = async (): Promise<string[]> => (await rows(page)).map((row) => row.split("\n").join("").trim());
  const up = await names();
  await head.getByRole("button").click();
  await page.mouse.move(0, 0);
  expect(query(page).get("by")).toBe("-image");
  expect(await head.getAttribute("aria-sort")).toBe("descending");
  await expect.poll(names).not.toEqual(up);
  await head.getByRole("button").click();
  expect(query(page).get("by")).toBeNull();
});

test("keys alone lead to a view, down its rows, into one and out again", async ({ open }) => {
  const page = await open("/");
  await untilRows(page);
  await page.keyboard.press("g");
  await page.keyboard.press("n");
  await expect.poll(() => query(page).get("view")).toBe("nodes");
  await untilRows(page);
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  const chosen = await page.locator(".grid-row.active").innerText();
  await page.keyboard.press("Enter");
  const node = query(page).get("node") ?? "";
  expect(chosen).toContain(node);
  await page.getByRole("complementary", { name: "The opened node" }).getByRole("heading", { level: 2 }).getByText(node).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("complementary").waitFor({ state: "detached" });
  expect(query(page).get("node")).toBeNull();
  await page.goBack();
  await page.getByRole("complementary", { name: "The opened node" }).waitFor();
});

test("a rollout shows one cell per node with the numbers of the API; arrows walk, Enter opens the node", async ({ open }) => {
  const page = await open("/?view=workloads&workload=shop/Deployment/web");
  const strip = page.getByRole("listbox", { name: "Nodes, by state" });
  await strip.waitFor();
  const nodes = async (): Promise<number> => {
    const { pods } = await asked<{ pods: { nodeName: string }[] }>("pods?namespace=shop&workload=Deployment/web");
    return new Set(pods.map((pod) => pod.nodeName)).size;
  };
  // The page asks every two seconds, and the rollout goes on.
  await expect.poll(async () => (await strip.getByRole("option").count()) - (await nodes()), { timeout: 10_000 }).toBe(0);
  await strip.focus();
  await page.keyboard.press("End");
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("ArrowRight");
  const last = page.locator(".strip-cell[aria-selected=true]");
  await last.waitFor();
  const node = (await last.getAttribute("data-node")) ?? "";
  expect(await last.getAttribute("aria-label")).toMatch(new RegExp(`^${node}, [a-z]+: .+`));
  expect(await page.locator(".strip-sentence").innerText()).toContain(node);
  await page.keyboard.press("Enter");
  await expect.poll(() => [query(page).get("view"), query(page).get("node")]).toEqual(["nodes", node]);
});

test("a pod leads to its workload, its node and its pulls, and tells what its containers wait for", async ({ open }) => {
  const { pods } = await asked<{ pods: { podName: string; nodeName: string; pullId: string }[] }>("pods?namespace=data&workload=Deployment/warehouse");
  const pod = pods[0] as (typeof pods)[0];
  const page = await open(`/?view=workloads&pod=data/${pod.podName}`);
  const side = page.getByRole("complementary", { name: "The opened pod" });
  await side.getByRole("progressbar").first().waitFor();
  expect(await axe(page)).toEqual([]);
  await side.getByRole("link", { name: pod.nodeName }).click();
  await expect.poll(() => query(page).get("node")).toBe(pod.nodeName);
  await page.goBack();
  await side.getByRole("link", { name: "warehouse", exact: true }).click();
  await expect.poll(() => query(page).get("workload")).toBe("data/Deployment/warehouse");
  await page.goBack();
  await side.locator(".container-image").first().click();
  await expect.poll(() => query(page).get("pull")).toBe(pod.pullId);
});

test("a node tells its agent, its runtime and its queue in order", async ({ open }) => {
  const page = await open("/?view=nodes&node=queue-000");
  const side = page.getByRole("complementary", { name: "The opened node" });
  await side.locator(".queue li").first().waitFor();
  const { nodes } = await asked<{ nodes: { name: string; agentVersion: string; version: string; queuedImages: string[] }[] }>("nodes");
  const node = nodes.find(({ name }) => name === "queue-000");
  expect(await side.locator(".queue li").allInnerTexts()).toEqual(node?.queuedImages);
  const facts = await side.locator("dl").innerText();
  expect(facts).toContain(`${node?.agentVersion}, connected`);
  expect(facts).toContain(`containerd ${node?.version}`);
});

test("an image tells what was fetched and cached, how long it took, and why pulls failed", async ({ open }) => {
  const page = await open("/?view=images&image=registry.example.com/team/secret:1.1");
  const side = page.getByRole("complementary", { name: "The opened image" });
  await side.getByText("Why pulls failed").waitFor();
  await side.getByRole("link", { name: /^All pulls of this image/ }).click();
  await expect.poll(() => query(page).get("q")).toBe("image:registry.example.com/team/secret:1.1");
  await untilRows(page);
  expect((await rows(page)).every((row) => row.includes("secret:1.1"))).toBe(true);
});

test("a collector that knows nothing says in each view what that means", async ({ open }) => {
  const { Collector } = await import("./kit/programs");
  const collector = await Collector.start();
  try {
    for (const [view, says] of [["workloads", "No workload waits for images."], ["workloads&list=pods", "No pod waits for images."], ["nodes", "No agent is known."], ["images", "No image was pulled lately."]]) {
      const page = await open(`/?view=${view}`, { at: collector.url, theme: "dark" });
      await page.getByText(says as string).waitFor();
      expect(await axe(page)).toEqual([]);
      // Before the collector ends, so that nobody asks in vain.
      await page.close();
    }
  } finally {
    await collector.remove();
  }
});
