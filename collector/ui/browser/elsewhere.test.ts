// The page and the widget where other people put them: below a path prefix, behind a proxy, in a frame of another origin, as a picture.

import { inject } from "vitest";
import { elsewhere, Proxy } from "./kit/proxy";
import { axe, expect, rows, test, untilRows } from "./kit/test";

/** A pod that waits as long as the cluster is played. */
async function waiting(): Promise<{ namespace: string; podName: string }> {
  const answer = await fetch(`${inject("busy")}/api/v1/pods?namespace=data&workload=Deployment/warehouse`);
  const { pods } = (await answer.json()) as { pods: { namespace: string; podName: string }[] };
  return pods[0] as { namespace: string; podName: string };
}

test("below a path prefix every view works and nothing outside the prefix is asked for", async ({ open }) => {
  const proxy = await Proxy.start(inject("busy"), "/tools/pulltrace");
  try {
    const page = await open("/", { at: proxy.url });
    await untilRows(page);
    await page.getByText("live", { exact: true }).waitFor();
    for (const view of ["Workloads", "Nodes", "Images", "Pulls"]) {
      await page.getByRole("link", { name: view, exact: true }).click();
      await untilRows(page);
    }
    await page.reload();
    await untilRows(page);
    const { namespace, podName } = await waiting();
    const widget = await open(`/embed/pod/${namespace}/${podName}`, { at: proxy.url });
    await widget.getByRole("progressbar").first().waitFor();
    expect(proxy.asked.filter((path) => !path.startsWith("/tools/pulltrace/"))).toEqual([]);
  } finally {
    await proxy.end();
  }
});

test("the address of a prefix without a slash at its end is not needed: what an ingress sends is the root", async ({ open }) => {
  const proxy = await Proxy.start(inject("busy"), "/a");
  try {
    const page = await open("/?view=nodes&q=node:queue-*", { at: proxy.url });
    await untilRows(page);
    expect((await rows(page)).every((row) => row.includes("queue-"))).toBe(true);
  } finally {
    await proxy.end();
  }
});

test("the widget stands in a page of another origin and is alive there", async ({ open }) => {
  const { namespace, podName } = await waiting();
  const widget = `${inject("busy")}/embed/pod/${namespace}/${podName}`;
  const host = await elsewhere(`<!doctype html><title>A notebook</title><iframe title="pod" src="${widget}" width="420" height="180"></iframe><img alt="badge" src="${widget}/badge.svg">`);
  try {
    const page = await open("", { at: host.url, origins: [inject("busy")] });
    const frame = page.frameLocator("iframe");
    await frame.getByRole("progressbar").first().waitFor();
    expect(await frame.getByRole("heading").innerText()).toBe(`${namespace}/${podName}`);
    expect(await frame.getByRole("link", { name: "Pulltrace" }).getAttribute("target")).toBe("_blank");
    const badge = page.getByAltText("badge");
    await expect.poll(() => badge.evaluate((image: HTMLImageElement) => [image.naturalHeight, image.naturalWidth > 60])).toEqual([20, true]);
  } finally {
    await host.end();
  }
});

test("the page itself stands in no frame", async ({ open }) => {
  const host = await elsewhere(`<!doctype html><title>A trap</title><iframe title="page" src="${inject("busy")}/"></iframe>`);
  try {
    const page = await open("", { at: host.url, origins: [inject("busy")], expected: /frame-ancestors|ERR_BLOCKED_BY_RESPONSE/ });
    await page.waitForLoadState("load");
    expect(await page.frameLocator("iframe").locator("#app").count()).toBe(0);
  } finally {
    await host.end();
  }
});

test("the widget can be used by everyone, asks for its pod alone, and obeys a theme", async ({ open }) => {
  const { namespace, podName } = await waiting();
  const proxy = await Proxy.start(inject("busy"));
  try {
    for (const theme of ["light", "dark"] as const) {
      const page = await open(`/embed/pod/${namespace}/${podName}?theme=${theme}`, { at: proxy.url, size: { width: 420, height: 180 }, theme: "light" });
      await page.getByRole("progressbar").first().waitFor();
      expect(await page.evaluate(() => document.documentElement.dataset["theme"])).toBe(theme);
      expect(await axe(page)).toEqual([]);
    }
    const api = new Set(proxy.asked.filter((path) => path.includes("/api/")));
    expect([...api]).toEqual([`/api/v1/pods/${namespace}/${podName}`]);
  } finally {
    await proxy.end();
  }
});

test("a pod that nobody knows is told so, in the widget and by the badge", async ({ open }) => {
  const page = await open("/embed/pod/none/nobody", { expected: /404/ });
  await page.getByText("This pod waits for no image and did not lately, as far as is known.").waitFor();
  const badge = await fetch(`${inject("busy")}/embed/pod/none/nobody/badge.svg`);
  expect([badge.status, badge.headers.get("content-type")]).toEqual([200, "image/svg+xml"]);
  expect(await badge.text()).toContain(">unknown</text>");
});
