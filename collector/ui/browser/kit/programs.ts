// Programs that the tests start, each on ports of its own on loopback, and end again: the built collector, the player of a cluster's situations.

import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

/** Where the built programs are: as for the other live tests, `E2E_BINARIES`. */
const BINARIES = process.env["E2E_BINARIES"] ?? new URL("../../../../target/debug", import.meta.url).pathname;
const REPOSITORY = new URL("../../../..", import.meta.url).pathname;

/** How long a program may take to begin, or to end when it is asked to, milliseconds. */
const PATIENCE = 20_000;
/** What is kept of what a program says, characters. */
const MOST = 20_000;

/** The browser: `CHROMIUM`, or the first of its names on the path. */
export function chromiumPath(): string {
  const own = process.env["CHROMIUM"];
  if (own) return own;
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  for (const name of ["chromium", "chromium-browser", "google-chrome"]) {
    const found = folders.map((folder) => join(folder, name)).find(isProgram);
    if (found) return found;
  }
  throw new Error("no Chromium on the path, and CHROMIUM names none");
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** A process and what it said so far. */
export class Program {
  said = "";
  readonly #process: ChildProcess;
  readonly #ended: Promise<void>;

  constructor(name: string, args: string[], env: Record<string, string> = {}) {
    this.#process = spawn(join(BINARIES, name), args, { env: { ...process.env, ...env, E2E_BINARIES: BINARIES }, stdio: ["ignore", "pipe", "pipe"] });
    const hear = (text: Buffer): void => void (this.said = (this.said + text.toString()).slice(-MOST));
    this.#process.stdout?.on("data", hear);
    this.#process.stderr?.on("data", hear);
    this.#ended = new Promise((done) => {
      this.#process.on("exit", () => done());
      this.#process.on("error", (error) => {
        this.said += String(error);
        done();
      });
    });
  }

  get runs(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null && this.#process.pid !== undefined;
  }

  /** Waits for what is there only when the program is ready. */
  async ready<T>(look: () => T | undefined | Promise<T | undefined>): Promise<T> {
    const until = Date.now() + PATIENCE;
    for (;;) {
      const found = await look();
      if (found !== undefined) return found;
      if (!this.runs || Date.now() > until) throw new Error(`not ready: ${this.said}`);
      await new Promise((soon) => setTimeout(soon, 25));
    }
  }

  /** Ends it: asks first, then by force. */
  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (this.runs) this.#process.kill(signal);
    const force = setTimeout(() => this.#process.kill("SIGKILL"), PATIENCE);
    await this.#ended;
    clearTimeout(force);
  }
}

/** Plays situations of a whole cluster to a collector of its own; `all` are all of them. */
export async function startScenario(names: string[], nodes: number): Promise<{ url: string; program: Program }> {
  const program = new Program("scenario", ["--root", REPOSITORY, "--nodes", String(nodes), ...names]);
  const url = await program.ready(() => /page +(http:\S+)/.exec(program.said)?.[1]);
  return { url: url.replace(/\/$/, ""), program };
}

/** Plays real pulls through a containerd, where this machine can; `undefined` where it cannot. */
export async function startDemo(): Promise<{ url: string; program: Program } | undefined> {
  const program = new Program("demo", []);
  const [, url] = await program.ready(() => /(No real containerd)/.exec(program.said) ?? /page +(http:\S+)/.exec(program.said) ?? undefined);
  if (url?.startsWith("http")) return { url: url.replace(/\/$/, ""), program };
  await program.end();
  return undefined;
}

/** A collector with nothing in it, on ports that it keeps when it is started again. */
export class Collector {
  readonly url: string;
  #program: Program | undefined;
  readonly #folder = mkdtempSync(join(tmpdir(), "pt-browser-"));

  private constructor(private readonly env: Record<string, string>) {
    this.url = `http://${env["PULLTRACE_HTTP_ADDR"]}`;
  }

  static async start(more: Record<string, string> = {}): Promise<Collector> {
    const [http, metrics, grpc, otlp] = await Promise.all([freePort(), freePort(), freePort(), freePort()]);
    const local = (port: number): string => `127.0.0.1:${port}`;
    const collector = new Collector({
      PULLTRACE_HTTP_ADDR: local(http),
      PULLTRACE_METRICS_ADDR: local(metrics),
      PULLTRACE_OTLP_GRPC_ADDR: local(grpc),
      PULLTRACE_OTLP_HTTP_ADDR: local(otlp),
      PULLTRACE_KUBERNETES: "off",
      ...more,
    });
    await collector.begin();
    return collector;
  }

  /** Starts it, after it was ended. */
  async begin(): Promise<void> {
    const program = new Program("pulltrace-collector", [], { ...this.env, TMPDIR: this.#folder });
    this.#program = program;
    await program.ready(() => fetch(`${this.url}/readyz`).then((answer) => (answer.ok ? true : undefined), () => undefined));
  }

  /** Ends it as a crash does, or politely. */
  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    await this.#program?.end(signal);
  }

  async remove(): Promise<void> {
    await this.end();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** What a node says of its pulls, as agents of the old kind report it; all that it does not name any more have ended. */
  async report(nodeName: string, pulls: ReportedPull[]): Promise<void> {
    const body = { nodeName, timestamp: new Date().toISOString(), pulls: pulls.map((pull) => ({ totalKnown: true, ...pull })) };
    const answer = await fetch(`${this.url}/api/v1/report`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`the collector refused a report: ${await answer.text()}`);
  }
}

/** One pull in a report. */
export interface ReportedPull {
  imageRef: string;
  startedAt: string;
  totalKnown?: boolean;
  layers: { digest: string; mediaType?: string; totalBytes: number; downloadedBytes: number; totalKnown?: boolean }[];
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const address = server.address();
  await new Promise((closed) => server.close(closed));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
