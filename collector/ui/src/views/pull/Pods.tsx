// The containers that wait for this pull, or waited: workload, pod, container.

import { useSurroundings } from "../../app/Header";
import { go, href } from "../../app/here";
import type { PodRef, PullDetail } from "../../core/types";
import { Copy } from "../../parts/Copy";
import { Text } from "../../parts/Text";
import { Filter } from "./Facts";
import { rolloutInGrafana } from "./grafana";

export function Pods({ pull }: { pull: PullDetail }) {
  const pods = pull.pods ?? [];
  return (
    <section className="section" aria-label="Pods">
      <div className="section-head">
        <h3>{pull.outcome === "ready" ? "Pods that waited" : "Pods that wait"}</h3>
      </div>
      {pods.length === 0 ? (
        <p className="soft">No pod is known to wait for it: a pull ahead of time, or pods are not watched.</p>
      ) : (
        <ul className="lines">
          {pods.map((pod) => (
            <Pod key={`${pod.namespace}/${pod.podName}/${pod.container}`} pod={pod} />
          ))}
        </ul>
      )}
    </section>
  );
}

function Pod({ pod }: { pod: PodRef }) {
  const grafana = useSurroundings()?.grafanaUrl;
  const step = { view: "workloads", pod: `${pod.namespace}/${pod.podName}`, pull: undefined } as const;
  return (
    <li>
      <span className="cut">
        {pod.workload && (
          <>
            <span className="soft">
              <Text>{`${pod.workload.kind} `}</Text>
            </span>
            <Filter by="workload" value={`${pod.workload.kind}/${pod.workload.name}`} says={pod.workload.name} />
            {grafana && (
              <a href={rolloutInGrafana(grafana, pod.namespace, pod.workload.name)} target="_blank" rel="noreferrer" aria-label="In Grafana" title="In Grafana">
                {" ↗"}
              </a>
            )}
            <span className="soft"> › </span>
          </>
        )}
        <a
          href={href(step)}
          onClick={(event) => {
            if (event.metaKey || event.ctrlKey || event.shiftKey) return;
            event.preventDefault();
            go(step);
          }}
        >
          <Text>{`${pod.namespace}/${pod.podName}`}</Text>
        </a>
        <span className="soft">
          {" › "}
          <Text>{pod.container}</Text>
        </span>
      </span>
      <Copy text={`kubectl describe pod -n ${quoted(pod.namespace)} ${quoted(pod.podName)}`} what="kubectl describe of this pod" says="describe" />
    </li>
  );
}

/** A word for a shell; names of Kubernetes need no quotes, anything else gets them. */
export const quoted = (word: string): string => (/^[a-z0-9.-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
