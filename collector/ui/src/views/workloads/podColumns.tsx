// The columns of the table of pods, by what it sorts, and what the query box finds in it.

import { type Columns, falling } from "../../core/arrange";
import type { State } from "../../core/look";
import type { Pulls } from "../../core/pulls";
import { podState } from "../../core/rollout";
import { shown } from "../../core/safe";
import type { Said } from "../../core/sift";
import type { PodItem, PullStatus } from "../../core/types";
import { time } from "../../core/words";
import { Bar } from "../../parts/Bar";
import type { Column } from "../../parts/Grid";
import { Mark } from "../../parts/Mark";
import { Time } from "../../parts/Time";
import { Within } from "../../parts/Within";
import { column, Cut } from "../list/cells";

export interface PodRow {
  pod: PodItem;
  /** What its slowest container waits for, as the stream tells it. */
  pull: PullStatus | undefined;
  state: State;
}

export function podRow(pod: PodItem, pulls: Pulls): PodRow {
  const pull = pod.pullId === undefined ? undefined : pulls.byId(pod.pullId);
  return { pod, pull, state: podState(pod, pull) };
}

/** How a pod is named in the address. */
export const podKey = ({ pod }: PodRow): string => `${pod.namespace}/${pod.podName}`;

const NEED: Partial<Record<State, number>> = { failed: 0, stalled: 1, ready: 9 };

export const podSorts: Columns<PodRow> = {
  need: ({ pod, state }) => `${NEED[state] ?? 2} ${pod.waitingSince ?? "~"}`,
  name: podKey,
  state: ({ state }) => state,
  workload: ({ pod }) => pod.workload?.name ?? "~",
  node: ({ pod }) => pod.nodeName ?? "~",
  eta: ({ pod }) => falling(pod.etaSeconds),
  since: ({ pod }) => pod.waitingSince ?? "~",
};

export function podSaid({ pod, pull, state }: PodRow): Said {
  const is = [state, pod.state !== "ready" && "active", pod.state !== "ready" && "blocking", pod.state === "failed" && "failing"];
  return {
    is: is.filter((word) => word !== false),
    ns: [pod.namespace],
    pod: [pod.podName],
    node: [pod.nodeName],
    workload: [pod.workload && `${pod.workload.kind}/${pod.workload.name}`],
    image: [pull?.imageRef],
    registry: [pull?.registry],
    class: [pull?.errorClass],
    text: [pod.summary],
  };
}

export const podColumns: Column<PodRow>[] = [
  column<PodRow>("state", "", { width: "16px", narrow: "1 / 1" }, ({ state, pull }) => (
    <span title={state}>
      <Mark state={state} progress={(pull?.percent ?? 0) / 100} label={state} />
    </span>
  )),
  column<PodRow>("name", "Pod", { width: "minmax(190px, 1.5fr)", sort: "name", narrow: "1 / 2 / 2 / 4" }, ({ pod }) => (
    <span title={shown(`${pod.namespace}/${pod.podName}`)}>
      <Within namespace={pod.namespace} name={pod.podName} />
    </span>
  )),
  column<PodRow>("progress", "Slowest image", { width: "minmax(90px, 130px)", narrow: "2 / 1 / 3 / 3" }, ({ pod, pull }) =>
    pull ? <Bar pull={pull} name={`Progress of ${shown(pod.podName)}`} /> : null,
  ),
  column<PodRow>("summary", "What happens", { width: "minmax(180px, 2.2fr)", from: 760, narrow: "2 / 3 / 3 / 5" }, ({ pod }) => <Cut className="soft">{pod.summary}</Cut>),
  column<PodRow>("eta", "Left", { width: "84px", sort: "eta", isNumber: true, from: 620, narrow: "1 / 4" }, ({ pod }) => (pod.state === "ready" || pod.state === "failed" || pod.etaSeconds === undefined ? "" : time(pod.etaSeconds))),
  column<PodRow>("workload", "Workload", { width: "minmax(90px, 0.7fr)", sort: "workload", from: 960 }, ({ pod }) => <Cut className="soft">{pod.workload?.name ?? ""}</Cut>),
  column<PodRow>("node", "Node", { width: "minmax(90px, 0.7fr)", sort: "node", from: 860 }, ({ pod }) => <Cut>{pod.nodeName ?? ""}</Cut>),
  column<PodRow>("since", "Asked", { width: "80px", sort: "since", isNumber: true, from: 1040 }, ({ pod }) => (
    <span className="soft">{pod.waitingSince && <Time at={pod.waitingSince} />}</span>
  )),
];
