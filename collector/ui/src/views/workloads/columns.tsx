// The columns of the table of workloads, by what it sorts, and what the query box finds in it.

import { type Columns, falling } from "../../core/arrange";
import type { State } from "../../core/look";
import type { Said } from "../../core/sift";
import type { WorkloadStatus } from "../../core/types";
import { time } from "../../core/words";
import { shown } from "../../core/safe";
import type { Column } from "../../parts/Grid";
import { Mark } from "../../parts/Mark";
import { Stack } from "../../parts/Stack";
import { Within } from "../../parts/Within";
import { column, Cut, Number } from "../list/cells";

/** How a workload is named in the address. */
export const keyOf = ({ namespace, kind, name }: WorkloadStatus): string => `${namespace}/${kind}/${name}`;

export function workloadState(row: WorkloadStatus): State {
  if (row.nodesFailed > 0) return "failed";
  if (row.nodesPulling > 0) return "downloading";
  return row.nodesQueued > 0 ? "queued" : "ready";
}

export const nodesOf = (row: WorkloadStatus): number => row.nodesDone + row.nodesPulling + row.nodesQueued + row.nodesFailed;

const NEED: Partial<Record<State, number>> = { failed: 0, downloading: 1, queued: 2, ready: 3 };

export const sorts: Columns<WorkloadStatus> = {
  need: (row) => NEED[workloadState(row)] ?? 9,
  name: (row) => keyOf(row),
  nodes: (row) => -nodesOf(row),
  done: (row) => -row.nodesDone,
  pulling: (row) => -row.nodesPulling,
  queued: (row) => -row.nodesQueued,
  failed: (row) => -row.nodesFailed,
  eta: (row) => falling(row.etaSeconds),
};

export function said(row: WorkloadStatus): Said {
  const is = [workloadState(row), row.nodesPulling + row.nodesQueued > 0 && "active", row.nodesQueued > 0 && "queued", row.nodesPulling > 0 && "downloading", row.nodesFailed > 0 && "failing"];
  return { is: is.filter((word) => word !== false), ns: [row.namespace], workload: [`${row.kind}/${row.name}`], text: [row.summary] };
}

/** The parts of a rollout, in the order of the bar. */
export const partsOf = (row: WorkloadStatus): [State, number, string][] => [
  ["ready", row.nodesDone, "done"],
  ["downloading", row.nodesPulling, "pulling"],
  ["queued", row.nodesQueued, "queued"],
  ["failed", row.nodesFailed, "failed"],
];

export const workloadColumns: Column<WorkloadStatus>[] = [
  column<WorkloadStatus>("state", "", { width: "16px", narrow: "1 / 1" }, (row) => (
    <Mark state={workloadState(row)} progress={row.nodesDone / nodesOf(row)} label={workloadState(row)} />
  )),
  column<WorkloadStatus>("name", "Workload", { width: "minmax(170px, 1.4fr)", sort: "name", narrow: "1 / 2 / 2 / 4" }, (row) => (
    <span title={shown(`${row.kind} ${row.namespace}/${row.name}`)}>
      <Within namespace={row.namespace} name={row.name} />
    </span>
  )),
  column<WorkloadStatus>("kind", "Kind", { width: "92px", from: 1150 }, (row) => <Cut className="soft">{row.kind}</Cut>),
  column<WorkloadStatus>("nodes", "Nodes", { width: "minmax(110px, 0.9fr)", sort: "nodes", narrow: "2 / 1 / 3 / 3" }, (row) => <Stack parts={partsOf(row)} label="Nodes" />),
  column<WorkloadStatus>("done", "Done", { width: "58px", sort: "done", isNumber: true, from: 640 }, (row) => <Number n={row.nodesDone} state="ready" word="done" />),
  column<WorkloadStatus>("pulling", "Pulling", { width: "62px", sort: "pulling", isNumber: true, from: 640 }, (row) => <Number n={row.nodesPulling} state="downloading" word="pulling" />),
  column<WorkloadStatus>("queued", "Queued", { width: "62px", sort: "queued", isNumber: true, from: 640 }, (row) => <Number n={row.nodesQueued} state="queued" word="queued" />),
  column<WorkloadStatus>("failed", "Failed", { width: "62px", sort: "failed", isNumber: true, from: 640 }, (row) => <Number n={row.nodesFailed} state="failed" word="failed" />),
  column<WorkloadStatus>("eta", "Last node", { width: "92px", sort: "eta", isNumber: true, narrow: "1 / 4" }, (row) => (row.etaSeconds === undefined ? "" : `~ ${time(row.etaSeconds)}`)),
  column<WorkloadStatus>("summary", "What happens", { width: "minmax(160px, 2fr)", from: 860, narrow: "2 / 3 / 3 / 5" }, (row) => <Cut className="soft">{row.summary}</Cut>),
];
