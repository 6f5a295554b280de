// The query box for rows that are no pulls (workloads, pods, nodes, images): the same language, over what a row says of itself.

import { containing, type Key, like, type Query, type Term } from "./query";

/** What a row says, by key; `text` is what else can be looked for. Keys that are not there mean nothing to this kind of row. */
export type Said = Partial<Record<Key | "text", readonly (string | undefined)[]>>;

/** Keys whose value is a part of a name; the others are whole words. */
const PARTS: ReadonlySet<string> = new Set(["image", "pod", "workload", "text"]);

/** Whether a row is meant. A term that means nothing here holds nothing back; see [`idle`]. */
export function sift(query: Query): (said: Said) => boolean {
  const tests = query.terms.map((term) => ({ term, fits: PARTS.has(term.key) ? containing(term.value) : like(term.value) }));
  return (said) => {
    const groups = new Map<string, boolean>();
    for (const { term, fits } of tests) {
      if (!means(term, said)) continue;
      const found = valuesOf(term, said).some((text) => text !== undefined && fits(text));
      if (term.not && found) return false;
      if (term.not) continue;
      // Texts must all be found; of one key, one value is enough.
      if (term.key === "text") {
        if (!found) return false;
      } else groups.set(term.key, (groups.get(term.key) ?? false) || found);
    }
    return [...groups.values()].every(Boolean);
  };
}

/** The terms that mean nothing to rows of this kind. */
export const idle = (query: Query, said: Said): Term[] => query.terms.filter((term) => !means(term, said));

const means = (term: Term, said: Said): boolean => term.key === "text" || said[term.key] !== undefined;

/** A text is looked for in everything that is said. */
const valuesOf = (term: Term, said: Said): readonly (string | undefined)[] => (term.key === "text" ? Object.values(said).flat() : (said[term.key] ?? []));
