// The columns of the table of pulls.

import { Bar } from "../../parts/Bar";
import type { Column } from "../../parts/Grid";
import { ImageName } from "../../parts/ImageName";
import { Mark } from "../../parts/Mark";
import { Text } from "../../parts/Text";
import { isRunning, stateOf, wordOf } from "../../core/look";
import type { Row } from "../../core/order";
import { shown } from "../../core/safe";
import type { PullStatus } from "../../core/types";
import { age, expected, imageName, percent, size, speed, time } from "../../core/words";
import { now } from "../../live/api";

export const columns: Column<Row>[] = [
  column("mark", "", { width: "16px", narrow: "1 / 1" }, (pull) => (
    <span title={wordOf(pull)}>
      <Mark state={stateOf(pull)} progress={(pull.percent ?? 0) / 100} label={wordOf(pull)} />
    </span>
  )),
  column("image", "Image", { width: "minmax(150px, 1.5fr)", sort: "image", narrow: "1 / 2 / 2 / 4" }, (pull) => <ImageName imageRef={pull.imageRef} imageDigest={pull.imageDigest} />),
  column("progress", "Progress", { width: "minmax(90px, 150px)", sort: "progress", narrow: "2 / 1 / 3 / 3" }, (pull) => (
    <Bar pull={pull} name={`Progress of ${shown(imageName(pull.imageRef, pull.imageDigest))}`} />
  )),
  column("percent", "", { width: "44px", isNumber: true, narrow: "1 / 4" }, (pull) =>
    isRunning(pull) && pull.percent !== undefined ? percent(Math.min(99, pull.percent)) : isRunning(pull) ? "" : <span className="soft">{pull.outcome}</span>,
  ),
  column("summary", "What happens", { width: "minmax(180px, 2.3fr)", from: 800, narrow: "2 / 3 / 3 / 5" }, (pull) => (
    <span className="soft" title={shown(pull.summary)}>
      <Text>{pull.summary}</Text>
    </span>
  )),
  column("speed", "Speed", { width: "68px", sort: "speed", isNumber: true, from: 900 }, (pull) => (isRunning(pull) && pull.bytesPerSec ? speed(pull.bytesPerSec) : "")),
  column("eta", "Left", { width: "100px", sort: "eta", isNumber: true, from: 980 }, (pull) =>
    isRunning(pull) ? expected(pull.etaSeconds, pull.etaLowSeconds, pull.etaHighSeconds)?.replace("about ", "") : "",
  ),
  column("size", "Size", { width: "64px", sort: "size", isNumber: true, from: 1500 }, (pull) => sizeOf(pull)),
  column("node", "Node", { width: "minmax(104px, 0.7fr)", sort: "node", from: 700 }, (pull) => (
    <span title={shown(pull.nodeName)}>
      <Text>{pull.nodeName}</Text>
    </span>
  )),
  column("pods", "For", { width: "minmax(90px, 0.7fr)", from: 1120 }, (pull) => <Pods pull={pull} />),
  column("age", "Age", { width: "52px", sort: "age", isNumber: true, from: 760 }, (pull) => <Age pull={pull} />),
];

function column(id: string, header: string, meta: NonNullable<Column<Row>["meta"]>, cell: (pull: PullStatus) => React.ReactNode): Column<Row> {
  return { id, header: () => header || <span className="off-screen">{id}</span>, meta, cell: ({ row }) => (row.original.kind === "pull" ? cell(row.original.pull) : null) };
}

function sizeOf(pull: PullStatus): string {
  const bytes = pull.sizeBytes ?? (pull.totalBytes === undefined ? undefined : pull.totalBytes + pull.cachedBytes);
  return bytes === undefined ? "" : `${pull.totalKnown ? "" : "≥ "}${size(bytes)}`;
}

function Pods({ pull }: { pull: PullStatus }) {
  const pods = pull.pods ?? [];
  const first = pods[0];
  if (!first) return null;
  const name = first.workload?.name ?? first.podName;
  return (
    <span className="soft" title={pods.map((pod) => shown(`${pod.namespace}/${pod.podName}`)).join("\n")}>
      <Text>{`${first.namespace}/${name}`}</Text>
      {pods.length > 1 && ` +${pods.length - 1}`}
    </span>
  );
}

function Age({ pull }: { pull: PullStatus }) {
  const from = Date.parse(pull.startedAt);
  const running = isRunning(pull);
  const seconds = ((running ? now() : Date.parse(pull.completedAt ?? pull.updatedAt)) - from) / 1000;
  return (
    <span className="soft" title={running ? `runs for ${time(seconds)}` : `took ${time(seconds)}`}>
      {age(running ? seconds : (now() - Date.parse(pull.completedAt ?? pull.updatedAt)) / 1000)}
    </span>
  );
}
