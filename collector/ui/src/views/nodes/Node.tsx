// One node: its agent, its runtime, its clock, what else it does, what it pulls and what waits for its turn.

import { CLOSED } from "../../core/place";
import { useLive } from "../../app/live";
import { type Load, NO_LOAD } from "../../core/host";
import type { NodeStatus } from "../../core/types";
import { count, imageName, speed, time } from "../../core/words";
import { Text } from "../../parts/Text";
import { Time } from "../../parts/Time";
import { PullLine } from "../list/PullLine";
import { Fact, Section, Side, To } from "../list/Side";
import { nodeState } from "./columns";

/** Pulls that are listed at most; the others are one press away. */
const MOST = 30;

export function Node({ name, status, load = NO_LOAD, isKnown }: { name: string; status: NodeStatus | undefined; load: Load | undefined; isKnown: boolean }) {
  const { pulls } = useLive();
  if (!status) {
    return (
      <Side label="The opened node" kind="Node" title={<Text>{name}</Text>}>
        <p className="pull-none soft">{isKnown ? "No agent of this name is known." : "Asking for this node …"}</p>
      </Side>
    );
  }
  const { state, word } = nodeState({ node: status, load });
  const failing = [...pulls.all.values()].filter((pull) => pull.nodeName === name && pulls.isFailing(pull));
  const queue = status.queuedImages ?? [];
  return (
    <Side label="The opened node" state={state} progress={0.6} kind="Node" title={<Text>{name}</Text>}>
      <dl className="facts">
        <Fact name="Agent">{[status.agentVersion ?? "version not known", word === "no word" ? "not connected" : "connected"].join(", ")}</Fact>
        <Fact name="Heard last">
          <Time at={status.lastSeen} />
        </Fact>
        <Fact name="Runtime">{`${status.runtime ?? "not known"} ${status.version ?? ""}${status.reachable === false ? ", not reachable" : ""}`}</Fact>
        <Fact name="Throughput">{load.bytesPerSec > 0 ? speed(load.bytesPerSec) : "none"}</Fact>
        {status.cluster && <Fact name="Cluster">{status.cluster}</Fact>}
        {status.clockOffsetSeconds !== undefined && <Fact name="Clock">{`${time(Math.abs(status.clockOffsetSeconds))} ${status.clockOffsetSeconds > 0 ? "ahead" : "behind"}`}</Fact>}
        {(status.droppedProgress ?? 0) + (status.droppedOutcomes ?? 0) > 0 && (
          <Fact name="Not delivered">{`${count(status.droppedProgress ?? 0, "report")}, ${count(status.droppedOutcomes ?? 0, "outcome")}`}</Fact>
        )}
        <Host status={status} />
      </dl>
      <div className="side-actions">
        <To step={{ view: "pulls", ...CLOSED, q: `node:${name}` }} className="button">
          {`All pulls of this node (${load.running.length + load.ended})`}
        </To>
      </div>
      <Section title="Pulling now" more={<span className="soft">{load.running.length}</span>}>
        {load.running.length === 0 && <p className="soft">Nothing.</p>}
        <ul className="pull-lines">
          {load.running.slice(0, MOST).map((pull) => (
            <PullLine key={pull.id} pull={pull} by="image" />
          ))}
        </ul>
      </Section>
      {failing.length > 0 && (
        <Section title="Failing" more={<span className="soft">{failing.length}</span>}>
          <ul className="pull-lines">
            {failing.slice(0, MOST).map((pull) => (
              <PullLine key={pull.id} pull={pull} by="image" />
            ))}
          </ul>
        </Section>
      )}
      <Section title="Queued in the kubelet" more={<span className="soft">{queue.length}</span>}>
        {queue.length === 0 ? (
          <p className="soft">No image waits for its turn.</p>
        ) : (
          <ol className="queue">
            {queue.map((image) => (
              <li key={image}>
                <Text>{imageName(image)}</Text>
              </li>
            ))}
          </ol>
        )}
      </Section>
    </Side>
  );
}

/** What else the node does while it pulls. */
function Host({ status: { host } }: { status: NodeStatus }) {
  if (!host) return null;
  const share = (value: number): string => `${Math.floor(value)} %`;
  return (
    <>
      {host.diskBusy !== undefined && <Fact name="Disk busy">{share(host.diskBusy)}</Fact>}
      {host.networkBytesPerSec !== undefined && (
        <Fact name="Network">{speed(host.networkBytesPerSec) + (host.networkLimitBytesPerSec === undefined ? "" : ` of ${speed(host.networkLimitBytesPerSec)}`)}</Fact>
      )}
      {host.ioPressure && <Fact name="Waits for I/O">{`some ${share(host.ioPressure.some)}, all ${share(host.ioPressure.full)}`}</Fact>}
      {host.memoryPressure && <Fact name="Waits for memory">{`some ${share(host.memoryPressure.some)}, all ${share(host.memoryPressure.full)}`}</Fact>}
      {host.cpuPressure !== undefined && <Fact name="Waits for a CPU">{share(host.cpuPressure)}</Fact>}
    </>
  );
}
