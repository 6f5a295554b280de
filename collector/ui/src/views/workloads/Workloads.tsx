// The view of workloads: how far each rollout is, node by node, and when its last node will be; and the same for single pods. A workload opens
// with its node strip, a pod with its containers.

import { useAsked } from "../../app/asked";
import { go, usePlace } from "../../app/here";
import { useLive } from "../../app/live";
import { CLOSED } from "../../core/place";
import type { WorkloadStatus } from "../../core/types";
import { count } from "../../core/words";
import { List } from "../list/List";
import { Unknown } from "../list/Unknown";
import { allPods } from "./allPods";
import { keyOf, said, sorts, workloadColumns } from "./columns";
import { Pod } from "./Pod";
import { podColumns, podKey, podRow, podSaid, podSorts } from "./podColumns";
import { Workload } from "./Workload";

const EVERY = 2_000;

export function Workloads() {
  const { list, pod, workload } = usePlace();
  const side = pod ? <Pod key={pod} name={pod} /> : workload ? <Workload key={workload} name={workload} /> : undefined;
  return list === "pods" ? <Pods side={side} /> : <Rollouts side={side} />;
}

/** Rollouts or pods. */
function Choice() {
  const { list } = usePlace();
  const choose = (wanted: "pods" | undefined): void => go({ list: wanted, by: undefined });
  return (
    <div className="choice-set" role="group" aria-label="What is listed">
      <button type="button" aria-pressed={list === undefined} onClick={() => choose(undefined)}>
        Workloads
      </button>
      <button type="button" aria-pressed={list === "pods"} onClick={() => choose("pods")}>
        Pods
      </button>
    </div>
  );
}

function Rollouts({ side }: { side: React.ReactNode }) {
  const { workload } = usePlace();
  const { answer, problem } = useAsked<{ workloads: WorkloadStatus[] }>("api/v1/workloads", EVERY);
  const rows = answer?.workloads;
  const open = rows?.filter((row) => row.nodesPulling + row.nodesQueued + row.nodesFailed > 0).length ?? 0;
  return (
    <List
      one="workload"
      many="workloads"
      rows={rows}
      columns={workloadColumns}
      keyOf={keyOf}
      said={said}
      sorts={sorts}
      usual="need"
      open={workload}
      onOpen={(row) => go({ ...CLOSED, workload: keyOf(row) === workload ? undefined : keyOf(row) })}
      tools={<Choice />}
      foot={rows && rows.length > 0 && (open > 0 ? `${count(open, "rollout")} under way` : "nothing is rolled out")}
      empty={
        <Unknown problem={problem} isKnown={answer !== undefined}>
          <NoPods what="workload" />
        </Unknown>
      }
      side={side}
    />
  );
}

function Pods({ side }: { side: React.ReactNode }) {
  const { pod } = usePlace();
  const { pulls } = useLive();
  const { answer, problem } = useAsked("api/v1/pods", EVERY, allPods);
  const rows = answer?.pods.map((item) => podRow(item, pulls));
  const waiting = rows?.filter((row) => row.pod.state !== "ready").length ?? 0;
  return (
    <List
      one="pod"
      many="pods"
      rows={rows}
      columns={podColumns}
      keyOf={podKey}
      said={podSaid}
      sorts={podSorts}
      usual="need"
      open={pod}
      onOpen={(row) => go({ ...CLOSED, pod: podKey(row) === pod ? undefined : podKey(row) })}
      tools={<Choice />}
      foot={rows && rows.length > 0 && `${answer?.nextCursor ? "The first of them. " : ""}${count(waiting, "pod")} waiting`}
      empty={
        <Unknown problem={problem} isKnown={answer !== undefined}>
          <NoPods what="pod" />
        </Unknown>
      }
      side={side}
    />
  );
}

function NoPods({ what }: { what: string }) {
  return (
    <>
      <h2>{`No ${what} waits for images.`}</h2>
      <p className="soft">
        Pods come here when they wait for images, and stay a while after. If none ever does, the collector may not read pods: see its log for <code>kubernetes</code>.
      </p>
    </>
  );
}
