// A rollout as the node strip shows it: one cell per node, how far its slowest pod is, ordered by state. The states of pods come from the API,
// how far a pull is from the stream; here they only meet.

import { stateOf, type State } from "./look";
import type { ContainerStatus, PodItem, PodStatus, PullStatus } from "./types";

export interface Cell {
  node: string;
  state: State;
  /** 0 to 1, how much of the image is there; only while it is fetched. */
  fill: number;
  /** Of the slowest pod. */
  sentence: string;
  pods: number;
}

/** The order of cells: what needs a person first, then what is on its way, then what is done. */
const ORDER: readonly State[] = ["failed", "stalled", "lost", "waiting", "queued", "resolving", "downloading", "unpacking", "canceled", "ready"];

/** Slower is later. */
const SLOWNESS: Record<PodItem["state"], number> = { ready: 0, pulling: 1, queued: 2, failed: 3 };

/** Where a pod was not placed on a node yet. */
export const NOWHERE = "";

export function cellsOf(pods: readonly PodItem[], pullOf: (id: string) => PullStatus | undefined): Cell[] {
  const slowest = new Map<string, { pod: PodItem; pods: number }>();
  for (const pod of pods) {
    const known = slowest.get(pod.nodeName ?? NOWHERE);
    const isSlower = !known || SLOWNESS[pod.state] > SLOWNESS[known.pod.state] || (pod.state === known.pod.state && (pod.etaSeconds ?? -1) > (known.pod.etaSeconds ?? -1));
    slowest.set(pod.nodeName ?? NOWHERE, { pod: isSlower ? pod : known.pod, pods: (known?.pods ?? 0) + 1 });
  }
  const cells = [...slowest].map(([node, { pod, pods }]) => {
    const pull = pod.pullId === undefined ? undefined : pullOf(pod.pullId);
    return { node, state: podState(pod, pull), fill: (pull?.percent ?? 0) / 100, sentence: pod.summary, pods };
  });
  return cells.sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || b.fill - a.fill || (a.node < b.node ? -1 : 1));
}

/** The state of a pod; while it is pulled, that of the pull. */
export function podState(pod: Pick<PodItem, "state">, pull?: PullStatus): State {
  if (pod.state === "pulling" && pull && !pull.outcome) return stateOf(pull);
  return pod.state === "pulling" ? "downloading" : pod.state;
}

/** The state of one container's image. */
export const containerState = ({ state }: ContainerStatus, pull?: PullStatus): State => podState({ state: state === "waiting" ? "queued" : state }, pull);

/** The state of the image that holds a pod up most. */
export function heldBy(pod: PodStatus, pullOf: (id: string) => PullStatus | undefined): State {
  const states = pod.containers.map((container) => containerState(container, container.pullId === undefined ? undefined : pullOf(container.pullId)));
  return ORDER.find((state) => states.includes(state)) ?? "ready";
}

/** How many cells are in which state, in the order of the cells. */
export function counted(cells: readonly Cell[]): [State, number][] {
  return ORDER.map((state): [State, number] => [state, cells.filter((cell) => cell.state === state).length]).filter(([, n]) => n > 0);
}
