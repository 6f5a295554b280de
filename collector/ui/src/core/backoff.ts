// How long to wait before the next try to connect: longer each time, and never the same for two pages, so that a collector that comes back is
// not met by all of them at once.

/** Longest wait, milliseconds. */
export const LONGEST = 15_000;
const SHORTEST = 250;

/** After so many failures in a row; `random` is 0 to 1. */
export function pause(failures: number, random: number): number {
  const ceiling = Math.min(LONGEST, SHORTEST * 2 ** Math.min(failures, 10));
  return Math.round(ceiling / 2 + (random * ceiling) / 2);
}
