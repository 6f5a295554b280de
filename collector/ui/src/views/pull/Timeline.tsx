// What happened when, in order; folded, because the picture above says it for most.

import type { Moment, PullDetail } from "../../core/types";
import { count, shortDigest, time } from "../../core/words";
import { Text } from "../../parts/Text";
import { Time } from "../../parts/Time";

const SOURCES: Record<string, string> = { event: "exact", record: "exact", poll: "between two looks", inferred: "inferred", kubelet: "by the kubelet, to the second" };

export function Timeline({ pull }: { pull: PullDetail }) {
  if (pull.timeline.length === 0) return null;
  const start = Date.parse(pull.startedAt);
  return (
    <details className="section">
      <summary>
        <h3>{`What happened when (${count(pull.timeline.length, "moment")})`}</h3>
      </summary>
      <ol className="timeline">
        {pull.timeline.map((moment, at) => (
          <li key={at}>
            <span className="num soft">{after(Date.parse(moment.at) - start)}</span>
            <span>
              {words(moment)}
              {moment.pod && (
                <span className="soft">
                  {" "}
                  <Text>{`${moment.pod.namespace}/${moment.pod.podName} › ${moment.pod.container}`}</Text>
                </span>
              )}
            </span>
            <span className="soft" title={SOURCES[moment.source]}>
              <Time at={moment.at} />
              <span className="off-screen">{`, ${SOURCES[moment.source] ?? moment.source}`}</span>
            </span>
          </li>
        ))}
      </ol>
    </details>
  );
}

const after = (milliseconds: number): string => (milliseconds < 0 ? `− ${time(-milliseconds / 1000)}` : `+ ${time(milliseconds / 1000)}`);

function words({ what, wait, layer }: Moment): string {
  const parts = [what.replaceAll("_", " ")];
  if (wait) parts.push(wait.replaceAll("_", " "));
  if (layer) parts.push(shortDigest(layer));
  return parts.join(" · ");
}
