// Sorting and holding for tables whose rows are not pulls. What each column sorts by is said by the view.

/** By what a column sorts: small numbers and early letters first; rows that have nothing there are last, either way round. */
export type Columns<T> = Record<string, (row: T) => number | string | undefined>;

/** The largest first. */
export const falling = (n: number | undefined): number | undefined => (n === undefined ? undefined : -n);

/** The wish in the address: a column's name, with `-` before it the other way round; anything else is `usual`. */
export function wished<T>(by: string | undefined, columns: Columns<T>, usual: string): { by: string; isReversed: boolean } {
  const name = (by ?? "").replace(/^-/, "");
  return Object.hasOwn(columns, name) ? { by: name, isReversed: by?.startsWith("-") ?? false } : { by: usual, isReversed: false };
}

/** What a press on a column's head makes of the wish: that column, then the other way round, then as usual. */
export function pressed(now: { by: string; isReversed: boolean }, column: string, usual: string): string | undefined {
  if (now.by !== column) return column === usual ? undefined : column;
  if (!now.isReversed) return `-${column}`;
  return undefined;
}

/** A new list in this order; rows that are equal are by name. */
export function arrange<T>(rows: readonly T[], { by, isReversed }: { by: string; isReversed: boolean }, columns: Columns<T>, nameOf: (row: T) => string): T[] {
  const key = columns[by];
  const keyed = rows.map((row) => ({ row, key: key?.(row), name: nameOf(row) }));
  const compare = (a: number | string, b: number | string): number => (a < b ? -1 : a > b ? 1 : 0);
  const compareKeys = (a: number | string | undefined, b: number | string | undefined): number =>
    a === undefined || b === undefined ? Number(a === undefined) - Number(b === undefined) : compare(a, b) * (isReversed ? -1 : 1);
  keyed.sort((a, b) => compareKeys(a.key, b.key) || compare(a.name, b.name));
  return keyed.map(({ row }) => row);
}

/** The rows of now in the order of before; new ones at the end. */
export function hold<T>(before: readonly T[], now: readonly T[], keyOf: (row: T) => string): T[] {
  const fresh = new Map(now.map((row) => [keyOf(row), row]));
  const kept = before.flatMap((row) => {
    const next = fresh.get(keyOf(row));
    fresh.delete(keyOf(row));
    return next === undefined ? [] : [next];
  });
  return [...kept, ...fresh.values()];
}
