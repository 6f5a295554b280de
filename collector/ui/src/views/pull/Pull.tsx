// One pull in full, beside the list on a wide page and instead of it on a narrow one.

import { useAsked } from "../../app/asked";
import { go } from "../../app/here";
import { useLive } from "../../app/live";
import { isRunning } from "../../core/look";
import type { PullDetail } from "../../core/types";
import { Head } from "./Head";
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
          <Head pull={pull} />
          <Waterfall pull={pull} />
        </>
      ) : (
        <div className="pull-head">
          <p className="soft">{problem ? (problem.status === 404 || problem.status === 400 ? "This pull is not in memory any more." : `${problem.message}.`) : "Asking for this pull …"}</p>
          <button type="button" className="button" onClick={() => go({ pull: undefined })}>
            Close
          </button>
        </div>
      )}
    </aside>
  );
}
