// For those who hear the page: pulls that begin to fail, one sentence each, and nothing else.

import { useRef } from "react";
import { shown } from "../core/safe";
import { useLive } from "./live";

export function Alarm() {
  const { pulls, isKnown } = useLive();
  const known = useRef<Set<string> | null>(null);
  const seen = useRef(-1);
  const text = useRef("");
  const failing = seen.current === pulls.version ? [] : [...pulls.all.values()].filter((pull) => pull.outcome === "failed");
  if (known.current) {
    const fresh = failing.filter((pull) => !known.current?.has(pull.id));
    const first = fresh[0];
    if (first) text.current = fresh.length > 1 ? `${fresh.length} pulls failed.` : shown(`${first.imageRef ?? "A pull"} on ${first.nodeName}: ${first.summary}`);
  }
  if (isKnown && seen.current !== pulls.version) {
    known.current = new Set(failing.map((pull) => pull.id));
    seen.current = pulls.version;
  }
  return (
    <p className="off-screen" aria-live="polite">
      {text.current}
    </p>
  );
}
