// The sign of a state: its shape alone tells it, its colour repeats it.

import type { ReactNode } from "react";
import type { State } from "../core/look";
import "./mark.css";

const RING = 2 * Math.PI * 5.5;

const SHAPES: Record<State, (progress: number) => ReactNode> = {
  queued: () => <circle cx="8" cy="8" r="5" className="line" />,
  resolving: () => (
    <>
      <circle cx="8" cy="8" r="5" className="line" />
      <circle cx="8" cy="8" r="1.4" className="fill" />
    </>
  ),
  downloading: (progress) => (
    <>
      <circle cx="8" cy="8" r="5.5" className="line faint" />
      <circle cx="8" cy="8" r="5.5" className="line" strokeDasharray={`${RING * progress} ${RING}`} transform="rotate(-90 8 8)" />
      <circle cx="8" cy="8" r="2.4" className="fill" />
    </>
  ),
  unpacking: () => (
    <>
      <circle cx="8" cy="8" r="5.5" className="line" />
      <path d="M8 2.5a5.5 5.5 0 0 1 0 11z" className="fill" />
    </>
  ),
  waiting: () => (
    <>
      <circle cx="8" cy="8" r="5.75" className="line" />
      <path d="M8 4.8V8l2.2 1.4" className="line" />
    </>
  ),
  stalled: () => (
    <>
      <circle cx="8" cy="8" r="6.4" className="fill" />
      <path d="M8 4.6V8l2.4 1.6" className="line inverse" />
    </>
  ),
  ready: () => <path d="M3 8.6l3.3 3.2L13 4.6" className="line strong" />,
  failed: () => <path d="M3.8 3.8l8.4 8.4M12.2 3.8l-8.4 8.4" className="line strong" />,
  canceled: () => <path d="M3.5 8h9" className="line strong" />,
  lost: () => (
    <>
      <circle cx="8" cy="8" r="6.2" className="line" strokeDasharray="2.2 1.8" />
      <path d="M6.2 6.6a1.8 1.8 0 1 1 2.5 1.7c-.5.2-.7.5-.7 1M8 11.2v.1" className="line" />
    </>
  ),
};

/** With `label` it is a picture with that name; without, it repeats a word beside it. */
export function Mark({ state, progress = 0, label }: { state: State; progress?: number; label?: string }) {
  const name = label === undefined ? { "aria-hidden": true } : { role: "img", "aria-label": label };
  return (
    <svg className={`mark s-${state}`} viewBox="0 0 16 16" {...name}>
      {SHAPES[state](Math.min(1, Math.max(0, progress)))}
    </svg>
  );
}
