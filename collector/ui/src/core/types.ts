// What the API says, as types: the contract's JSON and the messages of the dense stream (docs/frames.md). Nothing here does anything.

export type Phase = "queued" | "resolving" | "downloading" | "unpacking";
export type Outcome = "ready" | "failed" | "canceled" | "lost";

export interface PodRef {
  namespace: string;
  podName: string;
  container: string;
  image?: string;
  workload?: { kind: string; name: string };
}

export interface Wait {
  kind: "download_slot" | "layer_lock" | "stalled" | "retrying";
  since: string;
  pullId?: string;
  layer?: string;
  image?: string;
}

export interface Pressure {
  some: number;
  full: number;
}

export interface Host {
  networkBytesPerSec?: number;
  networkLimitBytesPerSec?: number;
  diskBusy?: number;
  ioPressure?: Pressure;
  memoryPressure?: Pressure;
  cpuPressure?: number;
}

export interface LayerStatus {
  digest: string;
  mediaType?: string;
  state: "queued" | "downloading" | "downloaded" | "unpacking" | "ready" | "cached" | "failed" | "lazy";
  totalBytes: number;
  totalKnown: boolean;
  downloadedBytes: number;
  percent?: number;
  startedAt?: string;
  completedAt?: string;
  unpackStartedAt?: string;
  unpackCompletedAt?: string;
}

export interface PullStatus {
  id: string;
  nodeName: string;
  cluster?: string;
  runtime?: string;
  containerdNamespace: string;
  imageRef?: string;
  imageDigest?: string;
  registry?: string;
  phase: Phase;
  outcome?: Outcome;
  wait?: Wait;
  summary: string;
  totalBytes?: number;
  totalKnown: boolean;
  downloadedBytes: number;
  cachedBytes: number;
  sizeBytes?: number;
  bytesPerSec?: number;
  etaSeconds?: number;
  etaLowSeconds?: number;
  etaHighSeconds?: number;
  percent?: number;
  layerCount: number;
  layersDone: number;
  layersCached: number;
  layersLazy?: number;
  startedAt: string;
  updatedAt: string;
  completedAt?: string;
  error?: string;
  errorClass?: string;
  errorHint?: string;
  attempt?: number;
  nextRetryAt?: string;
  pods?: PodRef[];
  stalledSince?: string;
  stale: boolean;
  host?: Host;
  layers?: LayerStatus[];
}

export interface Attempt {
  pullId: string;
  current: boolean;
  attempt?: number;
  source: "agent" | "kubelet";
  startedAt: string;
  completedAt?: string;
  outcome?: Outcome;
  error?: string;
  errorClass?: string;
  errorHint?: string;
  nextRetryAt?: string;
}

export interface Moment {
  at: string;
  what: string;
  source: string;
  wait?: Wait["kind"];
  layer?: string;
  pullId?: string;
  pod?: { namespace: string; podName: string; container: string };
}

export interface PullDetail extends PullStatus {
  attempts: Attempt[];
  timeline: Moment[];
}

export interface NodeStatus {
  name: string;
  cluster?: string;
  runtime?: string;
  version?: string;
  agentVersion?: string;
  reachable?: boolean;
  lastSeen: string;
  connected: boolean;
  activePulls?: number;
  queuedImages?: string[];
  droppedProgress?: number;
  droppedOutcomes?: number;
  host?: Host;
  clockOffsetSeconds?: number;
}

export interface WorkloadStatus {
  namespace: string;
  kind: string;
  name: string;
  summary: string;
  nodesDone: number;
  nodesPulling: number;
  nodesQueued: number;
  nodesFailed: number;
  etaSeconds?: number;
}

export interface ImageStatus {
  imageRef: string;
  registry: string;
  imageDigest?: string;
  sizeBytes?: number;
  pulls: number;
  active: number;
  ready: number;
  failed: number;
  canceled: number;
  lost: number;
  downloadedBytes: number;
  cachedBytes: number;
  nodeCount: number;
  nodes: string[];
  durations?: { minSeconds: number; medianSeconds: number; maxSeconds: number; lastSeconds: number };
  failures: { errorClass: string; count: number; lastAt: string; error: string; errorHint: string }[];
  lastStartedAt: string;
}

export interface ContainerStatus {
  container: string;
  kind: "main" | "init" | "ephemeral" | "image_volume";
  image: string;
  state: "waiting" | "queued" | "pulling" | "failed" | "ready";
  reason?: string;
  waitingSince?: string;
  readyAt?: string;
  pullId?: string;
  queue?: { behind: string; position: number; of: number };
  attempt?: number;
  error?: string;
  errorClass?: string;
  errorHint?: string;
  nextRetryAt?: string;
  [more: string]: unknown;
}

export interface PodStatus {
  namespace: string;
  podName: string;
  nodeName?: string;
  workload?: { kind: string; name: string };
  imagesReady: boolean;
  /** The Kubernetes API is away: this is how it was. */
  stale: boolean;
  summary: string;
  containers: ContainerStatus[];
  pulls: PullStatus[];
  [more: string]: unknown;
}

/** A pod in the list of pods. */
export interface PodItem {
  namespace: string;
  podName: string;
  nodeName?: string;
  workload?: { kind: string; name: string };
  /** Of its slowest container. */
  state: "ready" | "pulling" | "queued" | "failed";
  pullId?: string;
  etaSeconds?: number;
  waitingSince?: string;
  containerCount: number;
  summary: string;
}

export interface Summary {
  pulls: number;
  active: number;
  stalled: number;
  stale: number;
  ready: number;
  failed: number;
  canceled: number;
  lost: number;
  bytesPerSec: number;
  nodes: number;
  nodesConnected: number;
  podsWaiting: number;
}

/** What the page is told about its surroundings (`/api/v1/ui`). */
export interface Surroundings {
  version: string;
  cluster?: string;
  grafanaUrl?: string;
  historySeconds: number;
}

/** The numbers of a pull that is known: see docs/frames.md for their order. */
export type Numbers = [
  n: number,
  downloadedBytes: number,
  bytesPerSec: number | null,
  etaSeconds: number | null,
  etaLowSeconds: number | null,
  etaHighSeconds: number | null,
  layersDone: number,
  totalBytes?: number | null,
  summary?: string,
];

/** One message of the dense stream. Its lists are applied in this order. */
export interface Frame {
  gone?: string[];
  whole?: [n: number, pull: PullStatus][];
  numbers?: Numbers[];
}
