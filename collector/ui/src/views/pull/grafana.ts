// Addresses of the project's dashboards in a Grafana; their ids and variables are those of `dashboards/`.

import type { PullStatus } from "../../core/types";

/** Room before and after a pull in the time that is shown, milliseconds. */
const MARGIN = 60_000;

export function pullInGrafana(grafana: string, pull: PullStatus): string {
  const from = Date.parse(pull.startedAt) - MARGIN;
  const to = pull.completedAt ? String(Date.parse(pull.completedAt) + MARGIN) : "now";
  return `${grafana}/d/pulltrace-pull?${new URLSearchParams({ "var-traceID": pull.id, from: String(from), to })}`;
}

export const nodeInGrafana = (grafana: string, node: string): string => `${grafana}/d/pulltrace-node?${new URLSearchParams({ "var-node": node })}`;

export const registryInGrafana = (grafana: string, registry: string): string =>
  `${grafana}/d/pulltrace-registry?${new URLSearchParams({ "var-registry": registry })}`;

export const rolloutInGrafana = (grafana: string, namespace: string, workload: string): string =>
  `${grafana}/d/pulltrace-rollout?${new URLSearchParams({ "var-namespace": namespace, "var-workload": workload })}`;
