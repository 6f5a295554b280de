// Reads `[{place, language, text}]` as JSON from standard input and says which texts do not parse, one a line; with any it ends with 1.
// Where the texts come from is the business of `xtask/src/queries.rs`.

import { parser as logql } from "@grafana/lezer-logql";
import { parser as traceql } from "@grafana/lezer-traceql";
import { readFileSync } from "node:fs";

const parsers = { logql, traceql };

/** The first place at which a parser had to guess; these parsers never give up. */
function fault({ language, text }) {
  let at = null;
  parsers[language].parse(text).iterate({
    enter(node) {
      if (node.type.isError && at === null) at = node.from;
    },
  });
  return at;
}

for (const query of JSON.parse(readFileSync(0, "utf8"))) {
  const at = fault(query);
  if (at === null) continue;
  process.exitCode = 1;
  console.log(`${query.place}: ${query.language} does not parse at character ${at + 1}: ${query.text.trim()}`);
}
