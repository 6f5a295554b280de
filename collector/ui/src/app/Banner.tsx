// Says plainly that what is shown is old, since when, and why.

import type { Why } from "../live/hub";
import { age } from "../core/words";
import { useLive } from "./live";

const WHY: Record<Why, string> = {
  unreachable: "the collector does not answer",
  unauthorized: "the collector wants a token (401)",
  forbidden: "the collector refuses this page (403)",
  full: "the collector has no room for another reader",
  refused: "the collector refuses",
};

/** Shorter breaks are not worth a word, milliseconds. */
const WORTH_SAYING = 1_500;

export function Banner() {
  const { status, isKnown } = useLive();
  if (status.kind !== "away" || !isKnown || Date.now() - status.since < WORTH_SAYING) return null;
  const at = new Date(status.since);
  const clock = [at.getHours(), at.getMinutes(), at.getSeconds()].map((n) => String(n).padStart(2, "0")).join(":");
  return (
    <p className="banner" role="status">
      <strong>{`Stale since ${clock}`}</strong>
      {` (${age((Date.now() - status.since) / 1000)}): ${WHY[status.why]}. It is asked again until it does; what you see is the last that is known.`}
    </p>
  );
}
