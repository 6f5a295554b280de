// The address bar as state: `usePlace` reads it, `go` changes it. Opening something is a step that Back undoes; typing and sorting are not.

import { useSyncExternalStore } from "react";
import { readPlace, writePlace, type Place } from "../core/place";

const readers = new Set<() => void>();
let place = readPlace(location.search);

export const usePlace = (): Place => useSyncExternalStore(subscribe, () => place);

/** What changes; `undefined` removes. */
export type Step = { [K in keyof Place]?: Place[K] | undefined };

export function go(step: Step, how: "push" | "replace" = "push"): void {
  const next = writePlace(stepped(step));
  if (next === writePlace(place)) return;
  history[how === "push" ? "pushState" : "replaceState"](null, "", next || location.pathname);
  arrive();
}

/** The address of a step, for links that can be opened elsewhere. */
export const href = (step: Step): string => writePlace(stepped(step)) || "?";

function stepped(step: Step): Place {
  const next: Record<string, unknown> = { ...place, ...step };
  for (const key of Object.keys(next)) if (next[key] === undefined) delete next[key];
  return next as unknown as Place;
}

function arrive(): void {
  place = readPlace(location.search);
  for (const reader of readers) reader();
}

addEventListener("popstate", arrive);

function subscribe(reader: () => void): () => void {
  readers.add(reader);
  return () => readers.delete(reader);
}
