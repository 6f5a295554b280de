// One pod: what its start waits for, container by container, and how to show it elsewhere.

import "./workloads.css";
import { useAsked } from "../../app/asked";
import { useLive } from "../../app/live";
import { CLOSED } from "../../core/place";
import { containerState, heldBy } from "../../core/rollout";
import { shown } from "../../core/safe";
import type { ContainerStatus, PodStatus, PullStatus } from "../../core/types";
import { ordinal } from "../../core/words";
import { root } from "../../live/root";
import { Bar } from "../../parts/Bar";
import { Copy } from "../../parts/Copy";
import { ImageName } from "../../parts/ImageName";
import { Mark } from "../../parts/Mark";
import { Text } from "../../parts/Text";
import { Time } from "../../parts/Time";
import { Within } from "../../parts/Within";
import { Fact, Section, Side, To } from "../list/Side";
import { quoted } from "../pull/Pods";

const EVERY = 2_000;

/** `name` is `namespace/pod`. */
export function Pod({ name }: { name: string }) {
  const [namespace = "", own = ""] = name.split("/");
  const path = [namespace, own].map(encodeURIComponent).join("/");
  const { pulls } = useLive();
  const { answer, problem } = useAsked<PodStatus>(`api/v1/pods/${path}`, EVERY);
  const title = <Within namespace={namespace} name={own} />;
  if (!answer) {
    return (
      <Side label="The opened pod" kind="Pod" title={title}>
        <p className="pull-none soft">{problem ? (problem.status === 404 ? "This pod waits for no image and did not lately, as far as is known." : `${problem.message}.`) : "Asking for this pod …"}</p>
      </Side>
    );
  }
  const { workload, nodeName } = answer;
  const find = (id: string): PullStatus | undefined => pulls.byId(id) ?? answer.pulls.find((pull) => pull.id === id);
  return (
    <Side label="The opened pod" state={heldBy(answer, find)} progress={0.6} kind="Pod" title={title}>
      <p className="side-sentence">
        <Text>{answer.summary}</Text>
      </p>
      <dl className="facts">
        {workload && (
          <Fact name={workload.kind}>
            <To step={{ ...CLOSED, workload: `${namespace}/${workload.kind}/${workload.name}` }}>
              <Text>{workload.name}</Text>
            </To>
          </Fact>
        )}
        <Fact name="Node">
          {nodeName ? (
            <To step={{ view: "nodes", ...CLOSED, q: "", node: nodeName }}>
              <Text>{nodeName}</Text>
            </To>
          ) : (
            "not placed yet"
          )}
        </Fact>
        {answer.stale && <Fact name="Kubernetes">not answering: this is how it was</Fact>}
      </dl>
      <div className="side-actions">
        <Copy text={`kubectl describe pod -n ${quoted(namespace)} ${quoted(own)}`} what="kubectl describe of this pod" says="describe" />
        <Copy text={location.href} what="link to this pod" says="Link" />
        <Copy text={`<iframe src="${root}embed/pod/${path}" width="420" height="160" title="Images of ${namespace}/${own}"></iframe>`} what="widget for other pages" says="Widget" />
        <Copy text={`${root}embed/pod/${path}/badge.svg`} what="address of the badge" says="Badge" />
        <a className="button" href={`${root}api/v1/pods/${path}`} target="_blank" rel="noreferrer">
          JSON
        </a>
      </div>
      <Section title="Containers">
        <ul className="containers">
          {answer.containers.map((container) => (
            <Container key={`${container.kind} ${container.container}`} container={container} pull={container.pullId === undefined ? undefined : find(container.pullId)} />
          ))}
        </ul>
      </Section>
    </Side>
  );
}

const KINDS: Record<ContainerStatus["kind"], string> = { main: "", init: "init container", ephemeral: "for debugging", image_volume: "volume" };

function Container({ container, pull }: { container: ContainerStatus; pull: PullStatus | undefined }) {
  const { pullId, queue } = container;
  const state = containerState(container, pull);
  return (
    <li className="container">
      <Mark state={state} progress={(pull?.percent ?? 0) / 100} label={state} />
      <div>
        <p className="container-name">
          <strong>
            <Text>{container.container}</Text>
          </strong>
          <span className="soft">{[KINDS[container.kind], state, container.attempt && container.attempt > 1 && `${ordinal(container.attempt)} try`].filter(Boolean).join(", ")}</span>
        </p>
        {pullId ? (
          <To step={{ view: "pulls", ...CLOSED, q: "", pull: pullId }} className="container-image">
            <ImageName imageRef={container.image} />
          </To>
        ) : (
          <ImageName imageRef={container.image} />
        )}
        {pull && <Bar pull={pull} name={`Progress of ${shown(container.container)}`} />}
        {pull && (
          <p className="soft">
            <Text>{pull.summary}</Text>
          </p>
        )}
        {!pull && queue && (
          <p className="soft">
            <Text>{`${ordinal(queue.position)} of ${queue.of} on this node, behind ${queue.behind}.`}</Text>
          </p>
        )}
        {container.error && (
          <div className="failure">
            {container.errorHint && (
              <p>
                <Text>{container.errorHint}</Text>
              </p>
            )}
            <pre tabIndex={0} aria-label="What was said">
              <Text>{container.error}</Text>
            </pre>
            {container.nextRetryAt && (
              <p className="soft">
                {"The kubelet asks again "}
                <Time at={container.nextRetryAt} />
              </p>
            )}
          </div>
        )}
      </div>
    </li>
  );
}
