// The layers of a pull on one time axis: what each waited for, when it was fetched and unpacked. Pure geometry; who draws it is `views/pull`.

import type { LayerStatus, PullStatus } from "./types";

export type SpanKind = "wait" | "download" | "idle" | "unpack";

/** A stretch of a layer, as shares of the axis. */
export interface Span {
  kind: SpanKind;
  from: number;
  to: number;
  seconds: number;
  /** It goes on. */
  isLive: boolean;
}

export interface LayerRow {
  /** Its place in the image, from 1. */
  number: number;
  layer: LayerStatus;
  spans: Span[];
  /** In which it was fetched or unpacked, seconds. */
  seconds: number;
  /** Of all it took most work. */
  isSlowest: boolean;
}

export interface Story {
  /** Length of the axis, seconds. */
  seconds: number;
  isLive: boolean;
  rows: LayerRow[];
  /** Layers that needed nothing, folded into one. */
  cached: { layers: number; bytes: number };
}

/** `now` is milliseconds by the clock of the node. */
export function storyOf(pull: PullStatus, now: number): Story {
  const layers = pull.layers ?? [];
  const start = Date.parse(pull.startedAt);
  const ends = layers.flatMap((layer) => [layer.completedAt, layer.unpackCompletedAt]).filter((at) => at !== undefined);
  const last = Math.max(start, ...ends.map((at) => Date.parse(at)));
  const isLive = pull.outcome === undefined && !pull.stale;
  const end = isLive ? Math.max(now, last) : Math.max(last, Date.parse(pull.completedAt ?? pull.updatedAt));
  const length = Math.max(1, end - start);
  const rows: LayerRow[] = [];
  const cached = { layers: 0, bytes: 0 };
  layers.forEach((layer, index) => {
    if (isCached(layer)) {
      cached.layers++;
      cached.bytes += layer.totalBytes;
      return;
    }
    const spans = spansOf(layer, start, end, isLive).map((span) => ({ ...span, from: (span.from - start) / length, to: (span.to - start) / length }));
    const seconds = spans.reduce((sum, span) => sum + (span.kind === "download" || span.kind === "unpack" ? span.seconds : 0), 0);
    rows.push({ number: index + 1, layer, spans, seconds, isSlowest: false });
  });
  const slowest = rows.reduce<LayerRow | undefined>((most, row) => (row.seconds > (most?.seconds ?? 0) ? row : most), undefined);
  if (slowest && rows.length > 1 && slowest.seconds >= 1) slowest.isSlowest = true;
  return { seconds: length / 1000, isLive, rows, cached };
}

const isCached = (layer: LayerStatus): boolean => layer.state === "cached" && layer.startedAt === undefined && layer.unpackStartedAt === undefined;

/** What follows what, in milliseconds since the epoch. A stretch without an end goes on until now. */
function spansOf(layer: LayerStatus, start: number, end: number, isLive: boolean): Span[] {
  const at = (time: string | undefined): number | undefined => (time === undefined ? undefined : Math.min(end, Math.max(start, Date.parse(time))));
  const [opened, here, unpacking, done] = [at(layer.startedAt), at(layer.completedAt), at(layer.unpackStartedAt), at(layer.unpackCompletedAt)];
  const spans: Span[] = [];
  const add = (kind: SpanKind, from: number, to: number | undefined): void => {
    const until = to ?? end;
    if (until > from || (to === undefined && isLive)) spans.push({ kind, from, to: until, seconds: (until - from) / 1000, isLive: to === undefined && isLive });
  };
  const first = opened ?? unpacking;
  add("wait", start, first ?? (layer.state === "ready" || layer.state === "cached" ? start : undefined));
  if (opened !== undefined) add("download", opened, here ?? unpacking);
  const complete = here ?? opened;
  if (complete !== undefined && here !== undefined && done === undefined && unpacking === undefined && layer.state !== "ready") add("idle", here, undefined);
  else if (here !== undefined && unpacking !== undefined) add("idle", here, unpacking);
  if (unpacking !== undefined) add("unpack", unpacking, done);
  return spans;
}

/** Marks of the axis: a few round numbers of seconds. */
export function ticks(seconds: number, most = 6): number[] {
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
  const step = steps.find((step) => seconds / step <= most) ?? 86400 * Math.ceil(seconds / 86400 / most);
  return Array.from({ length: Math.floor(seconds / step) + 1 }, (_, index) => index * step);
}
