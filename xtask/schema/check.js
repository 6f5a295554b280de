// Reads `{name: dashboard}` as JSON from standard input and lets the TypeScript compiler compare each with the types that Grafana publishes: no key
// that they do not have, no value of another type. What does not fit is said, one finding a line, and then this ends with 1. Where the dashboards
// come from is the business of `xtask/src/schema.rs`.

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const HERE = dirname(fileURLToPath(import.meta.url));

/** The schema of each kind of panel; of traces there is none. */
const PANELS = {
  bargauge: "BarGauge",
  heatmap: "Heatmap",
  stat: "Stat",
  table: "Table",
  text: "Text",
  timeseries: "TimeSeries",
};
/** Those whose schema says what is special about their fields. */
const WITH_FIELDS = new Set(["heatmap", "timeseries"]);
/** What an annotation asks belongs to the plugin of its data source, and stands beside the keys of the schema. */
const OF_THE_PLUGIN = ["expr", "step", "titleFormat", "textFormat", "useValueForTime"];

const HEAD = `
import type { RowPanel, Panel, Dashboard } from "@grafana/schema/dist/esm/raw/dashboard/x/Dashboard_types.gen";
import type { DataSourceRef, TableFieldOptions } from "@grafana/schema";
${Object.entries(PANELS)
  .map(([kind, name]) => `import type * as ${kind} from "@grafana/schema/dist/esm/raw/composable/${kind}/panelcfg/x/${name}PanelCfg_types.gen";`)
  .join("\n")}
/** As it looks in JSON: enums are their values, and what has a default may be left out. */
type Json<T> = unknown extends T ? T
  : T extends string ? \`\${T}\`
  : T extends number ? (\`\${T}\` extends \`\${infer N extends number}\` ? N : never)
  : T extends (infer U)[] ? Json<U>[]
  : T extends object ? { [K in keyof T]?: Json<T[K]> }
  : T;
type Whole = Omit<Dashboard, "panels">;
`;

/** One declaration for each part of a dashboard that has a type of its own. */
function declarations(name, dashboard) {
  const parts = [];
  const add = (what, type, value) => parts.push({ what: `${name}: ${what}`, code: `Json<${type}> = ${JSON.stringify(value)}` });
  const { panels, ...whole } = structuredClone(dashboard);
  for (const annotation of whole.annotations?.list ?? []) OF_THE_PLUGIN.forEach((key) => delete annotation[key]);
  add("dashboard", "Whole", whole);
  for (const panel of panels) {
    const what = `panel ${JSON.stringify(panel.title)}`;
    if (panel.type === "row") {
      add(what, "RowPanel", panel);
      continue;
    }
    add(what, "Panel", panel);
    if (!(panel.type in PANELS)) continue;
    add(`options of ${what}`, `${panel.type}.Options`, panel.options);
    const custom = panel.fieldConfig?.defaults?.custom;
    if (panel.type === "table") add(`fields of ${what}`, "TableFieldOptions", custom);
    else if (WITH_FIELDS.has(panel.type)) add(`fields of ${what}`, `${panel.type}.FieldConfig`, custom);
  }
  return parts;
}

function findings(parts) {
  const file = join(HERE, "dashboards.ts");
  const lines = HEAD.split("\n").length;
  const source = HEAD + parts.map(({ code }, at) => `export const part${at}: ${code};`).join("\n");
  const options = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    target: ts.ScriptTarget.ES2022,
    types: [],
  };
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists, readFile } = host;
  host.fileExists = (path) => path === file || fileExists(path);
  host.readFile = (path) => (path === file ? source : readFile(path));
  host.getSourceFile = (path, target, ...rest) =>
    path === file ? ts.createSourceFile(path, source, target) : getSourceFile.call(host, path, target, ...rest);
  const program = ts.createProgram([file], options, host);
  return ts.getPreEmitDiagnostics(program).map((diagnostic) => {
    const words = ts.flattenDiagnosticMessageText(diagnostic.messageText, " ");
    const line = diagnostic.file ? diagnostic.file.getLineAndCharacterOfPosition(diagnostic.start).line + 1 : 0;
    return `${parts[line - lines]?.what ?? `line ${line}`}: ${words}`;
  });
}

const dashboards = JSON.parse(readFileSync(0, "utf8"));
const parts = Object.entries(dashboards).flatMap(([name, dashboard]) => declarations(name, dashboard));
const wrong = findings(parts);
wrong.forEach((line) => console.log(line));
if (wrong.length > 0) process.exitCode = 1;
else console.log(`${Object.keys(dashboards).length} dashboards fit the schema of Grafana, in ${parts.length} parts`);
