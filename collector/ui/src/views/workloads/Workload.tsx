// One rollout: how far, when its last node will be, the strip of its nodes, its pods and its images.

import "./workloads.css";
import { useAsked } from "../../app/asked";
import { usePlace } from "../../app/here";
import { useSurroundings } from "../../app/Header";
import { useLive } from "../../app/live";
import { CLOSED } from "../../core/place";
import { cellsOf } from "../../core/rollout";
import type { WorkloadStatus } from "../../core/types";
import { grouped, time } from "../../core/words";
import { Copy } from "../../parts/Copy";
import { Mark } from "../../parts/Mark";
import { Stack } from "../../parts/Stack";
import { Text } from "../../parts/Text";
import { Within } from "../../parts/Within";
import { rolloutInGrafana } from "../pull/grafana";
import { Section, Side, To } from "../list/Side";
import { allPods } from "./allPods";
import { nodesOf, partsOf, workloadState } from "./columns";
import { podKey, podRow, podSorts } from "./podColumns";
import { Strip } from "./Strip";
import { arrange } from "../../core/arrange";

const EVERY = 2_000;
/** Pods that are listed here; all of them are in the list of pods. */
const MOST = 40;

/** `name` is `namespace/kind/name`. */
export function Workload({ name }: { name: string }) {
  const [namespace = "", kind = "", ...rest] = name.split("/");
  const own = rest.join("/");
  const { list } = usePlace();
  const { pulls } = useLive();
  const grafana = useSurroundings()?.grafanaUrl;
  const query = `namespace=${encodeURIComponent(namespace)}`;
  const all = useAsked<{ workloads: WorkloadStatus[] }>(`api/v1/workloads?${query}`, EVERY);
  const { answer, problem } = useAsked(`api/v1/pods?${query}&workload=${encodeURIComponent(`${kind}/${own}`)}`, EVERY, allPods);
  const status = all.answer?.workloads.find((row) => row.kind === kind && row.name === own);
  const title = <Within namespace={namespace} name={own} />;
  if (!status || !answer) {
    const why = problem ?? all.problem;
    const isGone = all.answer !== undefined && !status;
    return (
      <Side label="The opened workload" kind={kind} title={title}>
        <p className="pull-none soft">{isGone ? "No pod of this workload waits for images, or did lately." : why ? `${why.message}.` : "Asking for this workload …"}</p>
      </Side>
    );
  }
  const pods = arrange(answer.pods.map((pod) => podRow(pod, pulls)), { by: "need", isReversed: false }, podSorts, podKey);
  const state = workloadState(status);
  return (
    <Side label="The opened workload" state={state} progress={status.nodesDone / nodesOf(status)} kind={kind} title={title}>
      <p className="side-sentence">
        <Text>{status.summary}</Text>
      </p>
      <div className="rollout">
        <Stack parts={partsOf(status)} label="Nodes" />
        <dl className="rollout-numbers">
          {partsOf(status).map(([state, n, word]) => (
            <div key={state} className={n > 0 ? `s-${state}` : undefined}>
              <dt>
                <Mark state={state} progress={0.6} /> {word}
              </dt>
              <dd>{grouped(n)}</dd>
            </div>
          ))}
          <div>
            <dt>last node in about</dt>
            <dd>{status.etaSeconds === undefined ? "–" : time(status.etaSeconds)}</dd>
          </div>
        </dl>
      </div>
      <div className="side-actions">
        <To step={{ view: "pulls", ...CLOSED, q: `ns:${namespace} workload:${kind}/${own}` }} className="button">
          Its pulls
        </To>
        <Copy text={location.href} what="link to this workload" says="Link" />
        {grafana && (
          <a className="button" href={rolloutInGrafana(grafana, namespace, own)} target="_blank" rel="noreferrer">
            Rollout in Grafana ↗
          </a>
        )}
      </div>
      <Section title="Nodes" more={answer.nextCursor && <span className="soft">of its first pods</span>}>
        <Strip cells={cellsOf(answer.pods, (id) => pulls.byId(id))} />
      </Section>
      <Section
        title="Pods"
        more={
          list !== "pods" && (
            <To step={{ ...CLOSED, list: "pods", by: undefined, q: `ns:${namespace} workload:${kind}/${own}` }}>{`all ${grouped(pods.length)}`}</To>
          )
        }
      >
        <ul className="pod-lines">
          {pods.slice(0, MOST).map(({ pod, pull, state }) => (
            <li key={pod.podName}>
              <Mark state={state} progress={(pull?.percent ?? 0) / 100} label={state} />
              <To step={{ ...CLOSED, pod: `${pod.namespace}/${pod.podName}` }} className="pod-line-name">
                <Text>{pod.podName}</Text>
              </To>
              <span className="soft">
                <Text>{pod.summary}</Text>
              </span>
            </li>
          ))}
        </ul>
        {pods.length > MOST && <p className="soft">{`and ${grouped(pods.length - MOST)} more`}</p>}
      </Section>
    </Side>
  );
}
