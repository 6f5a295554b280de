import { afterEach, expect, test, vi } from "vitest";
import { pages } from "../src/live/api";

afterEach(() => vi.unstubAllGlobals());

/** A list of so many pages of two, and what was asked for. */
function list(count: number): string[] {
  const asked: string[] = [];
  vi.stubGlobal("fetch", async (url: string) => {
    asked.push(url.slice(url.indexOf("api/")));
    const page = Number(new URL(url).searchParams.get("cursor") ?? 0);
    return new Response(JSON.stringify({ things: [page * 2, page * 2 + 1], ...(page + 1 < count ? { nextCursor: String(page + 1) } : {}) }));
  });
  return asked;
}

test("a list is asked for page by page to its end", async () => {
  const asked = list(3);
  expect(await pages<"things", number>("things")("api/v1/things?a=b")).toEqual({ things: [0, 1, 2, 3, 4, 5] });
  expect(asked).toEqual(["api/v1/things?a=b", "api/v1/things?a=b&cursor=1", "api/v1/things?a=b&cursor=2"]);
});

test("a list that goes on and on is cut, and says that it is", async () => {
  const asked = list(1_000);
  const { things, nextCursor } = await pages<"things", number>("things")("api/v1/things");
  expect([things.length, nextCursor, asked.length]).toEqual([20, "10", 10]);
});
