// One pull in a list of some: sign, image or node, bar, sentence; leads to the pull.

import { stateOf, wordOf } from "../../core/look";
import { shown } from "../../core/safe";
import type { PullStatus } from "../../core/types";
import { imageName } from "../../core/words";
import { Bar } from "../../parts/Bar";
import { ImageName } from "../../parts/ImageName";
import { Mark } from "../../parts/Mark";
import { Text } from "../../parts/Text";
import { CLOSED } from "../../core/place";
import { To } from "./Side";

export function PullLine({ pull, by }: { pull: PullStatus; by: "image" | "node" }) {
  const name = by === "image" ? imageName(pull.imageRef, pull.imageDigest) : pull.nodeName;
  return (
    <li className="pull-line">
      <Mark state={stateOf(pull)} progress={(pull.percent ?? 0) / 100} label={wordOf(pull)} />
      <To step={{ view: "pulls", q: "", ...CLOSED, pull: pull.id }} className="pull-line-name">
        {by === "image" ? <ImageName imageRef={pull.imageRef} imageDigest={pull.imageDigest} /> : <Text>{name}</Text>}
      </To>
      <Bar pull={pull} name={`Progress of ${shown(name)}`} />
      <span className="soft pull-line-sentence">
        <Text>{pull.summary}</Text>
      </span>
    </li>
  );
}
