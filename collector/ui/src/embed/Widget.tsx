// One pod in a small space: the sentence, and a bar for each image that is not there yet.

import { useEffect, useState } from "react";
import { useAsked } from "../app/asked";
import { containerState, heldBy } from "../core/rollout";
import { shown } from "../core/safe";
import type { ContainerStatus, PodStatus, PullStatus } from "../core/types";
import { count, imageName, percent } from "../core/words";
import { root } from "../live/root";
import { Bar } from "../parts/Bar";
import { ImageName } from "../parts/ImageName";
import { Mark } from "../parts/Mark";
import { Text } from "../parts/Text";
import "./widget.css";

/** Time between two questions, milliseconds: while something is missing, and after. */
const SOON = 2_000;
const LATER = 15_000;
/** Images that are shown; the others are counted. */
const MOST = 4;

export function Widget({ pod }: { pod: { namespace: string; name: string } | undefined }) {
  const path = pod && [pod.namespace, pod.name].map(encodeURIComponent).join("/");
  const [isReady, setReady] = useState(false);
  const { answer, problem } = useAsked<PodStatus>(path && `api/v1/pods/${path}`, isReady ? LATER : SOON);
  useEffect(() => setReady(answer?.imagesReady ?? false), [answer]);
  const state = answer ? heldBy(answer, pullOf(answer)) : "lost";
  return (
    <main className="widget" aria-label="Images of one pod">
      <header>
        <Mark state={state} progress={0.6} label={answer ? state : "not known"} />
        <h1 className="cut" title={pod && shown(`${pod.namespace}/${pod.name}`)}>
          {pod ? <Text>{`${pod.namespace}/${pod.name}`}</Text> : "No pod"}
        </h1>
        <a href={pod ? `${root}?view=workloads&pod=${encodeURIComponent(`${pod.namespace}/${pod.name}`)}` : root} target="_blank" rel="noreferrer">
          Pulltrace
        </a>
      </header>
      {answer ? <Known pod={answer} /> : <p className="soft">{pod ? why(problem) : "The address names no pod: /embed/pod/NAMESPACE/POD."}</p>}
      {answer && problem && <p className="widget-stale">{`This is how it was: ${problem.message}.`}</p>}
    </main>
  );
}

function why(problem: { status: number; message: string } | undefined): string {
  if (!problem) return "Asking …";
  if (problem.status === 404) return "This pod waits for no image and did not lately, as far as is known.";
  return problem.status === 401 || problem.status === 403 ? "You may not read this." : `${problem.message}.`;
}

const pullOf = (pod: PodStatus) => (id: string | undefined): PullStatus | undefined => pod.pulls.find((pull) => pull.id === id);

function Known({ pod }: { pod: PodStatus }) {
  const open = pod.containers.filter((container) => container.state !== "ready");
  return (
    <>
      <p>
        <Text>{pod.summary}</Text>
      </p>
      <ul>
        {open.slice(0, MOST).map((container) => (
          <Image key={`${container.kind} ${container.container}`} container={container} pod={pod} />
        ))}
      </ul>
      {open.length > MOST && <p className="soft">{`and ${count(open.length - MOST, "more image", "more images")}`}</p>}
    </>
  );
}

function Image({ container, pod }: { container: ContainerStatus; pod: PodStatus }) {
  const pull = pullOf(pod)(container.pullId);
  const state = containerState(container, pull);
  return (
    <li>
      <Mark state={state} progress={(pull?.percent ?? 0) / 100} label={state} />
      <ImageName imageRef={container.image} />
      {pull ? <Bar pull={pull} name={`Progress of ${shown(imageName(container.image))}`} /> : <span />}
      <span className="num soft">{pull?.percent !== undefined && !pull.outcome ? percent(Math.min(99, pull.percent)) : state}</span>
    </li>
  );
}
