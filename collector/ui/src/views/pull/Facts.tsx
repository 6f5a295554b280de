// The numbers of a pull, and where it runs.

import type { ReactNode } from "react";
import { useSurroundings } from "../../app/Header";
import { go, href } from "../../app/here";
import { useLive } from "../../app/live";
import { isRunning, phaseWords } from "../../core/look";
import { print, type Key } from "../../core/query";
import type { Host, PullDetail } from "../../core/types";
import { expected, ordinal, speed, time } from "../../core/words";
import { now } from "../../live/api";
import { PULL } from "../../live/pace";
import { Spark } from "../../parts/Spark";
import { Text } from "../../parts/Text";
import { Time } from "../../parts/Time";
import { nodeInGrafana, registryInGrafana } from "./grafana";

export function Facts({ pull }: { pull: PullDetail }) {
  const { pace } = useLive();
  const grafana = useSurroundings()?.grafanaUrl;
  const running = isRunning(pull);
  const took = ((running ? now() : Date.parse(pull.completedAt ?? pull.updatedAt)) - Date.parse(pull.startedAt)) / 1000;
  const average = running ? undefined : averageOf(pull);
  const series = pace.of(pull.id);
  return (
    <dl className="facts">
      <Fact name="Phase">{phaseWords(pull)}</Fact>
      <Fact name={running ? "Runs for" : "Took"}>{time(took)}</Fact>
      {running && <Fact name="Left">{expected(pull.etaSeconds, pull.etaLowSeconds, pull.etaHighSeconds) ?? <span className="soft">not known</span>}</Fact>}
      <Fact name="Speed">
        {running ? speed(pull.bytesPerSec ?? 0) : average ? `${speed(average)} on average` : <span className="soft">nothing fetched</span>}
        {series.length > 1 && <Spark series={series} most={PULL} label="Bytes per second of this pull" height={16} width={72} />}
      </Fact>
      <Fact name="Layers">{layerWords(pull)}</Fact>
      <Fact name="Started">
        <Time at={pull.startedAt} />
      </Fact>
      {pull.stalledSince && (
        <Fact name="No byte since">
          <Time at={pull.stalledSince} />
        </Fact>
      )}
      {pull.attempt !== undefined && <Fact name="The kubelet's try">{ordinal(pull.attempt)}</Fact>}
      {pull.nextRetryAt && (
        <Fact name="Next try">
          <span>
            {Date.parse(pull.nextRetryAt) < now() ? "was due " : "about "}
            <Time at={pull.nextRetryAt} />
          </span>
        </Fact>
      )}
      <Fact name="Node">
        <Filter by="node" value={pull.nodeName} />
        {grafana && <Out to={nodeInGrafana(grafana, pull.nodeName)} />}
      </Fact>
      {pull.registry && (
        <Fact name="Registry">
          <Filter by="registry" value={pull.registry} />
          {grafana && <Out to={registryInGrafana(grafana, pull.registry)} />}
        </Fact>
      )}
      <Fact name="Runtime">
        <Text>{`${pull.runtime ?? "not known"}, ${pull.containerdNamespace}`}</Text>
      </Fact>
      {pull.host && <Fact name="Load of the node" isWide>{hostWords(pull.host)}</Fact>}
    </dl>
  );
}

function Fact({ name, isWide, children }: { name: string; isWide?: boolean; children: ReactNode }) {
  return (
    <div className={isWide ? "wide" : ""}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** A value that leads to the pulls that share it. */
export function Filter({ by, value, says }: { by: Key; value: string; says?: string }) {
  const step = { view: "pulls", q: print({ key: by, value, not: false }) } as const;
  return (
    <a
      href={href(step)}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey) return;
        event.preventDefault();
        go(step);
      }}
    >
      <Text>{says ?? value}</Text>
    </a>
  );
}

const Out = ({ to }: { to: string }) => (
  <a href={to} target="_blank" rel="noreferrer" title="In Grafana" aria-label="In Grafana">
    {" ↗"}
  </a>
);

function layerWords(pull: PullDetail): string {
  if (pull.layerCount === 0) return "not known yet";
  const parts = [`${pull.layersDone} of ${pull.layerCount} done`];
  if (pull.layersCached > 0) parts.push(`${pull.layersCached} cached`);
  if (pull.layersLazy) parts.push(`${pull.layersLazy} mounted remotely`);
  return parts.join(", ");
}

/** What was fetched, over the time in which something was fetched. */
function averageOf(pull: PullDetail): number | undefined {
  const stretches = (pull.layers ?? []).filter(({ startedAt, completedAt, downloadedBytes }) => startedAt && completedAt && downloadedBytes > 0);
  let [seconds, until] = [0, 0];
  const closed = stretches.map(({ startedAt, completedAt }) => [Date.parse(startedAt ?? ""), Date.parse(completedAt ?? "")] as const);
  for (const [from, to] of closed.sort(([a], [b]) => a - b)) {
    seconds += Math.max(0, to - Math.max(from, until)) / 1000;
    until = Math.max(until, to);
  }
  return seconds > 0 && pull.downloadedBytes > 0 ? pull.downloadedBytes / seconds : undefined;
}

export function hostWords(host: Host): string {
  const parts: string[] = [];
  if (host.networkBytesPerSec !== undefined) {
    const limit = host.networkLimitBytesPerSec === undefined ? "" : ` of ${speed(host.networkLimitBytesPerSec)}`;
    parts.push(`network ${speed(host.networkBytesPerSec)}${limit}`);
  }
  if (host.diskBusy !== undefined) parts.push(`disk busy ${host.diskBusy} %`);
  if (host.ioPressure) parts.push(`waits for disk ${host.ioPressure.some} %`);
  if (host.memoryPressure) parts.push(`for memory ${host.memoryPressure.some} %`);
  if (host.cpuPressure !== undefined) parts.push(`for processors ${host.cpuPressure} %`);
  return parts.join(", ");
}
