// The world of a hub that runs in a browser.

import type { World } from "./hub";

export const browser: World = {
  open: (url) => new EventSource(url),
  fetch: (url) => fetch(url, { cache: "no-store" }),
  now: () => Date.now(),
  random: () => Math.random(),
  later: (milliseconds, then) => setTimeout(then, milliseconds),
  cancel: (timer) => clearTimeout(timer as number),
};
