// How many of something are in which state, as one bar and in words.

import type { State } from "../core/look";
import "./stack.css";

export function Stack({ parts, label }: { parts: readonly (readonly [state: State, n: number, word: string])[]; label: string }) {
  const some = parts.filter(([, n]) => n > 0);
  const words = some.map(([, n, word]) => `${n} ${word}`).join(", ") || "none";
  return (
    <span className="stack" role="img" aria-label={`${label}: ${words}`} title={words}>
      {some.map(([state, n]) => (
        <span key={state} className={`stack-part s-${state}`} style={{ flexGrow: n }} />
      ))}
    </span>
  );
}
