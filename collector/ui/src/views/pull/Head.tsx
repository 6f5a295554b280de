// What a person wants to know first: which image, how far, and in one sentence whether to wait; and what can be done with it.

import { useSurroundings } from "../../app/Header";
import { go } from "../../app/here";
import { stateOf, wordOf } from "../../core/look";
import { barOf } from "../../core/parts";
import type { PullDetail } from "../../core/types";
import { expected, percent, size } from "../../core/words";
import { root } from "../../live/root";
import { Bar } from "../../parts/Bar";
import { Copy } from "../../parts/Copy";
import { ImageName } from "../../parts/ImageName";
import { Mark } from "../../parts/Mark";
import { Text } from "../../parts/Text";
import { pullInGrafana } from "./grafana";

export function Head({ pull }: { pull: PullDetail }) {
  const state = stateOf(pull);
  const grafana = useSurroundings()?.grafanaUrl;
  const left = pull.outcome ? undefined : expected(pull.etaSeconds, pull.etaLowSeconds, pull.etaHighSeconds);
  return (
    <header className="pull-head">
      <div className="pull-title">
        <button type="button" className="button bare" aria-label="Close" title="Close (Esc)" onClick={() => go({ pull: undefined })}>
          <span className="close-wide" aria-hidden="true">×</span>
          <span className="close-narrow" aria-hidden="true">←</span>
        </button>
        <Mark state={state} progress={(pull.percent ?? 0) / 100} label={wordOf(pull)} />
        <h2>
          <ImageName imageRef={pull.imageRef} imageDigest={pull.imageDigest} />
        </h2>
      </div>
      <p className={`pull-sentence s-${state}`}>
        <Text>{pull.summary}</Text>
      </p>
      <Failure pull={pull} />
      <div className="pull-progress">
        <strong className="pull-percent">{pull.outcome === "ready" ? "ready" : pull.percent === undefined ? (pull.outcome ?? "–") : percent(Math.min(99, pull.percent))}</strong>
        <Bar pull={pull} name="Progress" />
        <span className="soft">{left && `${left} left`}</span>
      </div>
      <Bytes pull={pull} />
      <div className="actions">
        {pull.imageRef && <Copy text={pull.imageRef} what="name of the image" says="Image" />}
        {pull.imageDigest && <Copy text={pull.imageDigest} what="digest of the image" says="Digest" />}
        <Copy text={location.href} what="link to this pull" says="Link" />
        <Copy text={pull.id} what="trace id" says="Trace id" />
        <a className="button" href={`${root}api/v1/pulls/${pull.id}`} target="_blank" rel="noreferrer">
          JSON
        </a>
        {grafana && (
          <a className="button" href={pullInGrafana(grafana, pull)} target="_blank" rel="noreferrer">
            Trace in Grafana ↗
          </a>
        )}
      </div>
    </header>
  );
}

/** The bar's three parts in numbers that add up. */
function Bytes({ pull }: { pull: PullDetail }) {
  const bar = barOf(pull);
  if (!bar || bar.bytes.whole === 0) return null;
  const { whole, cached, fetched, missing } = bar.bytes;
  return (
    <p className="bytes">
      <span><i className="key cached" aria-hidden="true" />{` ${size(cached)} was here`}</span>
      <span aria-hidden="true">+</span>
      <span className={`s-${stateOf(pull)}`}><i className="key fetched" aria-hidden="true" />{` ${size(fetched)} fetched`}</span>
      <span aria-hidden="true">+</span>
      <span><i className="key missing" aria-hidden="true" />{` ${bar.isOpen ? "at least " : ""}${size(missing)} to fetch`}</span>
      <span aria-hidden="true">=</span>
      <strong>{`${bar.isOpen ? "≥ " : ""}${size(whole)}`}</strong>
    </p>
  );
}

/** What of the failure the sentence has no room for, and who else has it. */
function Failure({ pull }: { pull: PullDetail }) {
  const { error, errorHint, summary } = pull;
  if (!error) return null;
  const [hint, text] = [errorHint && !summary.includes(errorHint), !summary.includes(error)];
  return (
    <div className={hint || text ? "failure" : ""}>
      {errorHint && hint && (
        <p>
          <Text>{errorHint}</Text>
        </p>
      )}
      {text && (
        <pre tabIndex={0} aria-label="What was said">
          <Text>{error}</Text>
        </pre>
      )}
      {pull.errorClass && (
        <button type="button" className="link" onClick={() => go({ q: `class:${pull.errorClass}` })}>
          {`All that failed like this (${pull.errorClass})`}
        </button>
      )}
    </div>
  );
}
