// The columns of the table of images, by what it sorts, and what the query box finds in it.

import { type Columns, falling } from "../../core/arrange";
import type { State } from "../../core/look";
import type { Said } from "../../core/sift";
import type { ImageStatus } from "../../core/types";
import { grouped, percent, size, time } from "../../core/words";
import type { Column } from "../../parts/Grid";
import { ImageName } from "../../parts/ImageName";
import { Mark } from "../../parts/Mark";
import { Time } from "../../parts/Time";
import { column, Number } from "../list/cells";

/** The state of an image: whether pulls of it failed and none ended with it, whether some run, else that it was brought. */
export function imageState(image: ImageStatus): State {
  if (image.failed > 0 && image.ready === 0) return "failed";
  if (image.active > 0) return "downloading";
  return image.ready > 0 ? "ready" : image.canceled > 0 ? "canceled" : "lost";
}

const NEED: Partial<Record<State, number>> = { failed: 0, downloading: 1 };

export const sorts: Columns<ImageStatus> = {
  need: (image) => `${NEED[imageState(image)] ?? 2} ${1e15 - Date.parse(image.lastStartedAt)}`,
  image: (image) => image.imageRef,
  size: (image) => falling(image.sizeBytes),
  fetched: (image) => -image.downloadedBytes,
  cached: (image) => falling(cachedShare(image)),
  nodes: (image) => -image.nodeCount,
  pulls: (image) => -image.pulls,
  failed: (image) => -image.failed,
  took: (image) => falling(image.durations?.medianSeconds),
  last: (image) => -Date.parse(image.lastStartedAt),
};

export function said(image: ImageStatus): Said {
  const is = [imageState(image), image.active > 0 && "active", image.ready > 0 && "ready", image.failed > 0 && "failed", image.failed > 0 && "failing", image.canceled > 0 && "canceled", image.lost > 0 && "lost", image.ready > 0 && image.downloadedBytes === 0 && "cached"];
  return {
    is: is.filter((word) => word !== false),
    image: [image.imageRef, image.imageDigest],
    registry: [image.registry],
    node: image.nodes,
    class: image.failures.map((failure) => failure.errorClass),
    text: image.failures.map((failure) => failure.error),
  };
}

/** Of the bytes that the pulls needed, how many were there: 0 to 1. */
export function cachedShare({ cachedBytes, downloadedBytes }: ImageStatus): number | undefined {
  const all = cachedBytes + downloadedBytes;
  return all > 0 ? cachedBytes / all : undefined;
}

export const columns: Column<ImageStatus>[] = [
  column<ImageStatus>("state", "", { width: "16px", narrow: "1 / 1" }, (image) => {
    const state = imageState(image);
    return (
      <span title={state}>
        <Mark state={state} progress={0.6} label={state} />
      </span>
    );
  }),
  column<ImageStatus>("image", "Image", { width: "minmax(140px, 2.4fr)", sort: "image", narrow: "1 / 2 / 2 / 4" }, (image) => <ImageName imageRef={image.imageRef} />),
  column<ImageStatus>("size", "Size", { width: "72px", sort: "size", isNumber: true, narrow: "1 / 4" }, (image) => (image.sizeBytes === undefined ? "" : size(image.sizeBytes))),
  column<ImageStatus>("fetched", "Fetched", { width: "76px", sort: "fetched", isNumber: true, from: 640 }, (image) => size(image.downloadedBytes)),
  column<ImageStatus>("cached", "From cache", { width: "minmax(96px, 0.6fr)", sort: "cached", from: 780, narrow: "2 / 1 / 3 / 3" }, (image) => <CacheBar image={image} />),
  column<ImageStatus>("nodes", "Nodes", { width: "60px", sort: "nodes", isNumber: true }, (image) => <Number n={image.nodeCount} state="ready" word="nodes have it" />),
  column<ImageStatus>("active", "Pulling", { width: "66px", isNumber: true, from: 560 }, (image) => <Number n={image.active} state="downloading" word="pulling" />),
  column<ImageStatus>("failed", "Failed", { width: "62px", sort: "failed", isNumber: true, from: 560 }, (image) => <Number n={image.failed} state="failed" word="failed" />),
  column<ImageStatus>("pulls", "Pulls", { width: "52px", sort: "pulls", isNumber: true, from: 900 }, (image) => <span className="soft">{grouped(image.pulls)}</span>),
  column<ImageStatus>("took", "Usually took", { width: "96px", sort: "took", isNumber: true, from: 900, narrow: "2 / 3 / 3 / 4" }, (image) =>
    image.durations ? (
      <span title={`fastest ${time(image.durations.minSeconds)}, slowest ${time(image.durations.maxSeconds)}`}>{time(image.durations.medianSeconds)}</span>
    ) : (
      image.failed > 0 && <span className="narrow-only toned s-failed">{`${grouped(image.failed)} failed`}</span>
    ),
  ),
  column<ImageStatus>("last", "Last pull", { width: "84px", sort: "last", isNumber: true, from: 780, narrow: "2 / 4 / 3 / 5" }, (image) => (
    <span className="soft">
      <Time at={image.lastStartedAt} />
    </span>
  )),
];

/** How much of what the pulls needed was there, drawn as the cached part of a pull's bar. */
export function CacheBar({ image }: { image: ImageStatus }) {
  const share = cachedShare(image);
  if (share === undefined) return null;
  const words = `${percent(share * 100)} from cache, ${size(image.cachedBytes)}; ${size(image.downloadedBytes)} fetched`;
  return (
    <span className="cache" title={words}>
      <span className="bar" role="img" aria-label={words}>
        <span className="bar-track">
          <span className="bar-cached" style={{ width: `${share * 100}%` }} />
        </span>
      </span>
      <span className="soft num cache-share" aria-hidden="true">
        {percent(share * 100)}
      </span>
    </span>
  );
}
