// What stands where an answer is missing or empty: why, and what to do.

import type { ReactNode } from "react";
import type { Unanswered } from "../../live/api";

/** `children` is what an empty answer means. */
export function Unknown({ problem, isKnown, children }: { problem: Unanswered | undefined; isKnown: boolean; children: ReactNode }) {
  if (isKnown) return <div className="empty">{children}</div>;
  if (!problem) return <p className="empty soft">Asking the collector …</p>;
  const title = problem.status === 401 || problem.status === 403 ? "You may not read this." : "Nothing is known yet.";
  return (
    <div className="empty">
      <h2>{title}</h2>
      <p className="soft">{`${problem.message[0]?.toUpperCase()}${problem.message.slice(1)}.`}</p>
    </div>
  );
}
