// What a person wants to know first: which image, how far, when, and in one sentence why.

import { stateOf, wordOf } from "../../core/look";
import type { PullDetail } from "../../core/types";
import { Bar } from "../../parts/Bar";
import { Mark } from "../../parts/Mark";
import { Text } from "../../parts/Text";
import { nameOf } from "../pulls/columns";

export function Head({ pull }: { pull: PullDetail }) {
  return (
    <div className="pull-head">
      <h2><Mark state={stateOf(pull)} progress={(pull.percent ?? 0) / 100} label={wordOf(pull)} /> <Text>{nameOf(pull)}</Text></h2>
      <p><Text>{pull.summary}</Text></p>
      <Bar pull={pull} name="Progress" />
    </div>
  );
}
