// The columns of the table of nodes, by what it sorts, and what the query box finds in it.

import type { Columns } from "../../core/arrange";
import type { Load } from "../../core/host";
import { type State, stateOf } from "../../core/look";
import type { Said } from "../../core/sift";
import type { NodeStatus } from "../../core/types";
import { speed } from "../../core/words";
import type { Column } from "../../parts/Grid";
import { Mark } from "../../parts/Mark";
import { Time } from "../../parts/Time";
import { column, Cut, Number } from "../list/cells";

export interface NodeRow {
  node: NodeStatus;
  /** Absent where the stream knows no pull of it. */
  load: Load | undefined;
}

/** The state of a node: that of its agent first, then what of its pulls needs a person, then what it does. */
export function nodeState({ node, load }: NodeRow): { state: State; word: string } {
  if (!node.connected) return { state: "lost", word: "no word" };
  if (node.reachable === false) return { state: "failed", word: "runtime away" };
  if (load && load.failing > 0) return { state: "failed", word: "failing" };
  if (load && load.stalled > 0) return { state: "stalled", word: "stalled" };
  const first = load?.running[0];
  if (first) return { state: load.running.some((pull) => stateOf(pull) === "downloading") ? "downloading" : stateOf(first), word: "pulling" };
  return (node.queuedImages?.length ?? 0) > 0 ? { state: "queued", word: "queued" } : { state: "ready", word: "idle" };
}

const NEED: Record<string, number> = { "no word": 0, "runtime away": 0, failing: 1, stalled: 2, pulling: 3, queued: 4, idle: 5 };

export const sorts: Columns<NodeRow> = {
  need: (row) => NEED[nodeState(row).word] ?? 9,
  name: (row) => row.node.name,
  pulls: (row) => -(row.load?.running.length ?? 0),
  queue: (row) => -(row.node.queuedImages?.length ?? 0),
  failing: (row) => -(row.load?.failing ?? 0),
  speed: (row) => -(row.load?.bytesPerSec ?? 0),
  runtime: (row) => `${row.node.runtime ?? "~"} ${row.node.version ?? ""}`,
  agent: (row) => row.node.agentVersion ?? "~",
  heard: (row) => row.node.lastSeen,
};

export function said(row: NodeRow): Said {
  const { node, load } = row;
  const pulls = load?.running ?? [];
  const { word } = nodeState(row);
  const is = [word.replace(" ", "-"), node.connected ? "connected" : "lost", pulls.length > 0 && "active", (node.queuedImages?.length ?? 0) > 0 && "queued", (load?.stalled ?? 0) > 0 && "stalled", (load?.failing ?? 0) > 0 && "failing"];
  return {
    is: is.filter((word) => word !== false),
    node: [node.name],
    image: [...pulls.map((pull) => pull.imageRef), ...(node.queuedImages ?? [])],
    registry: pulls.map((pull) => pull.registry),
    ns: pulls.flatMap((pull) => pull.pods?.map((pod) => pod.namespace) ?? []),
    workload: pulls.flatMap((pull) => pull.pods?.map((pod) => pod.workload && `${pod.workload.kind}/${pod.workload.name}`) ?? []),
    pod: pulls.flatMap((pull) => pull.pods?.map((pod) => pod.podName) ?? []),
    text: [node.runtime, node.version, node.agentVersion, node.cluster],
  };
}

export const columns: Column<NodeRow>[] = [
  column<NodeRow>("state", "", { width: "16px", narrow: "1 / 1" }, (row) => {
    const { state, word } = nodeState(row);
    return (
      <span title={word}>
        <Mark state={state} progress={0.6} label={word} />
      </span>
    );
  }),
  column<NodeRow>("name", "Node", { width: "minmax(140px, 1.6fr)", sort: "name", narrow: "1 / 2 / 2 / 4" }, ({ node }) => <Cut className="side-name">{node.name}</Cut>),
  column<NodeRow>("what", "State", { width: "96px", sort: "need", narrow: "2 / 1 / 3 / 3" }, (row) => {
    const { state, word } = nodeState(row);
    return <span className={word === "idle" ? "soft" : `toned s-${state}`}>{word}</span>;
  }),
  column<NodeRow>("pulls", "Pulling", { width: "64px", sort: "pulls", isNumber: true }, ({ load }) => <Number n={load?.running.length ?? 0} state="downloading" word="running" />),
  column<NodeRow>("queue", "Queue", { width: "64px", sort: "queue", isNumber: true }, ({ node }) => <Number n={node.queuedImages?.length ?? 0} state="queued" word="queued" />),
  column<NodeRow>("failing", "Failing", { width: "64px", sort: "failing", isNumber: true }, ({ load }) => <Number n={load?.failing ?? 0} state="failed" word="failing" />),
  column<NodeRow>("speed", "Throughput", { width: "88px", sort: "speed", isNumber: true, narrow: "1 / 4" }, ({ load }) => (load && load.bytesPerSec > 0 ? speed(load.bytesPerSec) : "")),
  column<NodeRow>("host", "Host", { width: "minmax(110px, 0.8fr)", from: 1000 }, ({ node }) => <Cut className="soft">{hostWords(node)}</Cut>),
  column<NodeRow>("runtime", "Runtime", { width: "minmax(104px, 0.8fr)", sort: "runtime", from: 760, narrow: "2 / 3 / 3 / 4" }, ({ node }) => (
    <Cut className="soft">{[node.runtime, node.version].filter(Boolean).join(" ")}</Cut>
  )),
  column<NodeRow>("agent", "Agent", { width: "62px", sort: "agent", from: 900 }, ({ node }) => <Cut className="soft">{node.agentVersion ?? ""}</Cut>),
  column<NodeRow>("heard", "Heard", { width: "84px", sort: "heard", isNumber: true, narrow: "2 / 4 / 3 / 5" }, ({ node }) => (
    <span className={node.connected ? "soft" : "toned s-stalled"}>
      <Time at={node.lastSeen} />
    </span>
  )),
];

/** What of the node's own load may hold pulls up. */
export function hostWords({ host }: NodeStatus): string {
  if (!host) return "";
  const parts = [host.diskBusy !== undefined && `disk ${Math.floor(host.diskBusy)} %`, host.ioPressure && host.ioPressure.full >= 1 && `I/O waits ${Math.floor(host.ioPressure.full)} %`];
  return parts.filter(Boolean).join(", ");
}
