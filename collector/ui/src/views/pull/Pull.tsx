// One pull in full, beside the list on a wide page and instead of it on a narrow one.

import { useAsked } from "../../app/asked";
import { go } from "../../app/here";
import { useLive } from "../../app/live";
import { isRunning } from "../../core/look";
import type { PullDetail } from "../../core/types";
import { Attempts } from "./Attempts";
import { Facts } from "./Facts";
import { Head } from "./Head";
import { Pods } from "./Pods";
import { Timeline } from "./Timeline";
import { Waterfall } from "./Waterfall";
import "./pull.css";

export function Pull({ id }: { id: string }) {
  const { pulls } = useLive();
  const live = pulls.byId(id);
  const { answer, problem } = useAsked<PullDetail>(`api/v1/pulls/${encodeURIComponent(id)}`, live && isRunning(live) ? 1000 : 10_000);
  // The stream is newer than the answer; only the answer has layers, tries and times.
  const pull: PullDetail | undefined = answer && live ? { ...answer, ...live, layers: answer.layers ?? [] } : answer;
  return (
    <aside className="pull" aria-label="The opened pull">
      {pull ? (
        <>
          {problem?.status === 404 && <p className="banner">This pull is not in memory any more; this is the last that is known.</p>}
          <Head pull={pull} />
          <Facts pull={pull} />
          <Waterfall pull={pull} />
          <Pods pull={pull} />
          <Attempts pull={pull} />
          <Timeline pull={pull} />
        </>
      ) : (
        <div className="pull-none">
          <p className="soft">{problem ? said(problem.status, problem.message) : "Asking for this pull …"}</p>
          <button type="button" className="button" onClick={() => go({ pull: undefined })}>
            Close
          </button>
        </div>
      )}
    </aside>
  );
}

function said(status: number, message: string): string {
  if (status === 404) return "This pull is not in memory any more. Ended pulls are kept for as long as the collector was told; its trace may still be in your tracing backend.";
  return status === 400 ? "This is no id of a pull." : `Not answered: ${message}.`;
}
