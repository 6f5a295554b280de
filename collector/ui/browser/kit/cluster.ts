// What is there once for all test files: a cluster in which everything happens, and the address of its page. `PULLTRACE_SERVER` names one that
// runs already.

import type { TestProject } from "vitest/node";
import { startScenario } from "./programs";

declare module "vitest" {
  interface ProvidedContext {
    /** Where the page of the busy cluster is, without a slash at its end. */
    busy: string;
  }
}

/** Nodes of the situations that are about many. */
const NODES = 12;

export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const own = process.env["PULLTRACE_SERVER"];
  if (own) return void project.provide("busy", own.replace(/\/$/, ""));
  const { url, program } = await startScenario(["all"], NODES);
  project.provide("busy", url);
  return () => program.end();
}
