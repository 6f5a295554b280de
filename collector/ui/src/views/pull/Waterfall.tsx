// The layers on one time axis from the start of the pull: thin where a layer waits, solid where it is fetched or unpacked.

import { type Span, type SpanKind, storyOf, ticks } from "../../core/story";
import { shown } from "../../core/safe";
import type { PullDetail } from "../../core/types";
import { count, percent, shortDigest, size, time } from "../../core/words";
import { now } from "../../live/api";
import "./waterfall.css";

const WORDS: Record<SpanKind, string> = { wait: "waited", download: "fetched in", idle: "waited to be unpacked", unpack: "unpacked in" };

export function Waterfall({ pull }: { pull: PullDetail }) {
  const { rows, cached, seconds, isLive } = storyOf(pull, now());
  if (rows.length === 0 && cached.layers === 0) return null;
  return (
    <section className="section" aria-label="Layers">
      <div className="section-head">
        <h3>Layers</h3>
        <p className="legend soft" aria-hidden="true">
          <i className="swatch wait" /> waits
          <i className="swatch download" /> fetched
          <i className="swatch unpack" /> unpacked
        </p>
      </div>
      <table className={`waterfall${isLive ? " live-edge" : ""}`}>
        <thead>
          <tr>
            <th scope="col"><span className="off-screen">Layer</span></th>
            <th scope="col" className="num"><span className="off-screen">Size</span></th>
            <th scope="col" className="axis">
              <span className="off-screen">When</span>
              <span className="ticks" aria-hidden="true">
                {ticks(seconds).map((at) => (
                  <span key={at} style={{ left: `${(100 * at) / seconds}%` }} className={at / seconds > 0.93 ? "last" : ""}>
                    {at === 0 ? "0" : time(at)}
                  </span>
                ))}
              </span>
            </th>
            <th className="took" aria-hidden="true">Work</th>
          </tr>
        </thead>
        <tbody>
          {cached.layers > 0 && (
            <tr className="folded">
              <td>{`${cached.layers} cached`}</td>
              <td className="num">{size(cached.bytes)}</td>
              <td>
                <span className="track">
                  <span className="folded-words soft">{`${count(cached.layers, "layer")} needed nothing`}</span>
                </span>
              </td>
              <td className="took" />
            </tr>
          )}
          {rows.map(({ number, layer, spans, isSlowest, seconds: took }) => (
            <tr key={`${number} ${layer.digest}`} className={isSlowest ? "slowest" : ""}>
              <td title={shown(`${layer.digest}\n${layer.mediaType ?? ""}`)}>
                <span className="soft">{number}</span> <code>{shortDigest(layer.digest)}</code>
              </td>
              <td className="num">{size(layer.totalBytes)}</td>
              <td>
                <span className="track">
                  {spans.map((span) => (
                    <Stretch key={span.kind} span={span} fetched={layer.percent} />
                  ))}
                </span>
                <span className="off-screen">{`${layer.state}${isSlowest ? ", the slowest" : ""}: ${spans.map(({ kind, seconds }) => `${WORDS[kind]} ${time(seconds)}`).join(", ")}`}</span>
              </td>
              <td className="took" aria-hidden="true">
                {isSlowest && <span className="slowest-word">slowest </span>}
                {took > 0 ? time(took) : ""}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Stretch({ span, fetched }: { span: Span; fetched?: number | undefined }) {
  const part = span.kind === "download" && span.isLive && fetched !== undefined ? `, ${percent(Math.min(99, fetched))}` : "";
  return (
    <span
      className={`stretch ${span.kind}${span.isLive ? " goes-on" : ""}`}
      style={{ left: `${span.from * 100}%`, width: `${Math.max(0, span.to - span.from) * 100}%` }}
      title={`${WORDS[span.kind]} ${time(span.seconds)}${part}`}
    />
  );
}
