// Questions to the REST API. The collector's clock comes with every answer, so that ages do not depend on the clock of this machine.

import { root } from "./root";

/** Why there is no answer; `status` is 0 where nobody answered. */
export class Unanswered extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

let ahead = 0;

/** Milliseconds since the epoch by the collector's clock, as far as it is known. */
export const now = (): number => Date.now() - ahead;

/** Asks for a path below the root, such as `api/v1/nodes`. Unchanged answers cost no bytes: the browser keeps them by their tag. */
export async function ask<T>(path: string, signal?: AbortSignal): Promise<T> {
  const began = Date.now();
  let answer: Response;
  try {
    answer = await fetch(root + path, { cache: "no-cache", ...(signal ? { signal } : {}) });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Unanswered(0, "the collector does not answer");
  }
  const date = Date.parse(answer.headers.get("date") ?? "");
  // The header has whole seconds; half of one is what is missing on average. A cached answer has an old date.
  const off = (began + Date.now()) / 2 - (date + 500);
  if (answer.status !== 304 && Number.isFinite(off)) ahead = Math.abs(off) < 2_000 ? 0 : off;
  if (answer.ok) return (await answer.json()) as T;
  const problem = (await answer.json().catch(() => undefined)) as { error?: { message?: string } } | undefined;
  throw new Unanswered(answer.status, problem?.error?.message ?? `HTTP ${answer.status}`);
}

/** Pages of one list that are asked for at most. */
const MAX_PAGES = 10;

/** Asks for a list with all its pages, as far as `MAX_PAGES`; what is behind them is told by `nextCursor`. */
export function pages<K extends string, T>(name: K): (path: string, signal?: AbortSignal) => Promise<Record<K, T[]> & { nextCursor?: string }> {
  type Page = Record<K, T[]> & { nextCursor?: string };
  return async (path, signal) => {
    const whole: T[] = [];
    let page = await ask<Page>(path, signal);
    for (let n = 1; ; n++) {
      whole.push(...page[name]);
      if (page.nextCursor === undefined || n === MAX_PAGES) return { ...page, [name]: whole };
      page = await ask<Page>(`${path}${path.includes("?") ? "&" : "?"}cursor=${encodeURIComponent(page.nextCursor)}`, signal);
    }
  };
}
