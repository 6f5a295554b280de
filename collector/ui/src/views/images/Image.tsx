// One image: size, what its pulls fetched and found, how long they took, why some failed, and which nodes have it.

import { useLive } from "../../app/live";
import { CLOSED } from "../../core/place";
import { loads } from "../../core/host";
import type { ImageStatus } from "../../core/types";
import { count, grouped, size, time } from "../../core/words";
import { Copy } from "../../parts/Copy";
import { ImageName } from "../../parts/ImageName";
import { Stack } from "../../parts/Stack";
import { Text } from "../../parts/Text";
import { Time } from "../../parts/Time";
import { PullLine } from "../list/PullLine";
import { Fact, Section, Side, To } from "../list/Side";
import { CacheBar, imageState } from "./columns";

/** Pulls, and nodes, that are listed at most. */
const MOST = 30;
const MOST_NODES = 200;

export function Image({ name, status, isKnown }: { name: string; status: ImageStatus | undefined; isKnown: boolean }) {
  const { pulls } = useLive();
  const running = loads(pulls, (pull) => (pull.imageRef === name ? name : undefined)).get(name)?.running ?? [];
  if (!status) {
    return (
      <Side label="The opened image" kind="Image" title={<ImageName imageRef={name} />}>
        <p className="pull-none soft">{isKnown ? "No pull of this image is in memory." : "Asking for this image …"}</p>
      </Side>
    );
  }
  const { durations } = status;
  return (
    <Side label="The opened image" state={imageState(status)} progress={0.6} kind="Image" title={<ImageName imageRef={name} />}>
      <dl className="facts">
        <Fact name="Size">{status.sizeBytes === undefined ? "not known" : size(status.sizeBytes)}</Fact>
        <Fact name="Nodes that have it">{grouped(status.nodeCount)}</Fact>
        <Fact name="Fetched">{size(status.downloadedBytes)}</Fact>
        <Fact name="From cache">{status.cachedBytes + status.downloadedBytes > 0 ? <CacheBar image={status} /> : "nothing needed"}</Fact>
        {durations && (
          <>
            <Fact name="Usually took">{`${time(durations.medianSeconds)}, last time ${time(durations.lastSeconds)}`}</Fact>
            <Fact name="Fastest and slowest">{`${time(durations.minSeconds)}, ${time(durations.maxSeconds)}`}</Fact>
          </>
        )}
        <Fact name="Last pull">
          <Time at={status.lastStartedAt} />
        </Fact>
        <Fact name="Registry">{status.registry}</Fact>
      </dl>
      <div className="side-actions">
        <To step={{ view: "pulls", ...CLOSED, q: `image:${name}` }} className="button">
          {`All pulls of this image (${grouped(status.pulls)})`}
        </To>
        <Copy text={name} what="name of the image" says="Image" />
        {status.imageDigest && <Copy text={status.imageDigest} what="digest of the image" says="Digest" />}
      </div>
      <Section title="How pulls ended" more={<span className="soft">{count(status.pulls, "pull")}</span>}>
        <Stack
          label="Pulls"
          parts={[
            ["ready", status.ready, "ready"],
            ["downloading", status.active, "running"],
            ["failed", status.failed, "failed"],
            ["canceled", status.canceled, "canceled"],
            ["lost", status.lost, "lost"],
          ]}
        />
        <p className="soft side-words">
          {[`${status.ready} ready`, status.active > 0 && `${status.active} running`, `${status.failed} failed`, status.canceled > 0 && `${status.canceled} canceled`, status.lost > 0 && `${status.lost} lost`].filter(Boolean).join(", ")}
        </p>
      </Section>
      {status.failures.length > 0 && (
        <Section title="Why pulls failed">
          <ul className="attempts">
            {status.failures.map((failure) => (
              <li key={failure.errorClass} className="failure">
                <p>
                  <strong>{`${failure.count} × `}</strong>
                  <To step={{ view: "pulls", ...CLOSED, q: `class:${failure.errorClass}` }}>
                    <Text>{failure.errorClass}</Text>
                  </To>
                  <span className="soft">
                    {", last "}
                    <Time at={failure.lastAt} />
                  </span>
                </p>
                <p>
                  <Text>{failure.errorHint}</Text>
                </p>
                <pre tabIndex={0} aria-label="What was said">
                  <Text>{failure.error}</Text>
                </pre>
              </li>
            ))}
          </ul>
        </Section>
      )}
      {running.length > 0 && (
        <Section title="Pulling now" more={<span className="soft">{running.length}</span>}>
          <ul className="pull-lines">
            {running.slice(0, MOST).map((pull) => (
              <PullLine key={pull.id} pull={pull} by="node" />
            ))}
          </ul>
        </Section>
      )}
      <Section title="Nodes that have it" more={<span className="soft">{grouped(status.nodeCount)}</span>}>
        {status.nodeCount === 0 && <p className="soft">None, as far as pulls in memory tell.</p>}
        <ul className="names">
          {status.nodes.slice(0, MOST_NODES).map((node) => (
            <li key={node}>
              <To step={{ view: "nodes", ...CLOSED, q: "", node }}>
                <Text>{node}</Text>
              </To>
            </li>
          ))}
        </ul>
        {status.nodeCount > MOST_NODES && <p className="soft">{`and ${grouped(status.nodeCount - MOST_NODES)} more`}</p>}
      </Section>
    </Side>
  );
}
