// A tiny reverse proxy, as an ingress is one: it serves what is behind it below a path prefix, and can answer some paths itself, which is how a
// page meets a collector that says what no good collector says.

import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";

/** What is said instead of what the collector says, by the end of the path. */
export type Answers = Record<string, (response: ServerResponse, asked: IncomingMessage) => void>;

export class Proxy {
  private constructor(
    /** Where the application's root is, without a slash at its end. */
    readonly url: string,
    private readonly server: Server,
    /** Paths that were asked for, without query. */
    readonly asked: string[],
  ) {}

  /** `prefix` is empty or begins with a slash and ends without one; with none, everything at its root is passed on. */
  static async start(target: string, prefix = "", answers: Answers = {}): Promise<Proxy> {
    const asked: string[] = [];
    const server = createServer((incoming, response) => {
      const url = incoming.url ?? "";
      const path = url.split("?")[0] ?? "";
      asked.push(path);
      const own = Object.entries(answers).find(([end]) => path.endsWith(end))?.[1];
      if (own) return own(response, incoming);
      if (!url.startsWith(`${prefix}/`)) return void response.writeHead(404).end("not behind this prefix");
      const outgoing = request(target + url.slice(prefix.length), { method: incoming.method, headers: incoming.headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        // A stream is passed on as it comes.
        answer.pipe(response);
      });
      outgoing.on("error", () => response.headersSent ? response.destroy() : response.writeHead(502).end());
      response.on("close", () => outgoing.destroy());
      incoming.pipe(outgoing);
    });
    const port = await listen(server);
    return new Proxy(`http://127.0.0.1:${port}${prefix}`, server, asked);
  }

  /** As a network that is gone: what is open breaks, and nothing gets through until `mend`. */
  cut(): void {
    this.server.on("connection", refuse);
    this.server.closeAllConnections();
  }

  mend(): void {
    this.server.off("connection", refuse);
  }

  end(): Promise<void> {
    return close(this.server);
  }
}

/** Answers with this as JSON. */
export const json = (body: unknown) => (response: ServerResponse): void =>
  void response.writeHead(200, { "content-type": "application/json", "cache-control": "no-cache" }).end(JSON.stringify(body));

/** Answers with these events, the last of them `sync`, and keeps the stream open. */
export const stream = (...frames: unknown[]) => (response: ServerResponse): void => {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  frames.forEach((frame, at) => response.write(`id: test.${at}\ndata: ${JSON.stringify(frame)}\n\n`));
  response.write(`id: test.${frames.length}\nevent: sync\ndata: {}\n\n`);
};

/** A server of pages from elsewhere: its own origin, with this at `/`. */
export async function elsewhere(html: string): Promise<{ url: string; end(): Promise<void> }> {
  const server = createServer((_, response) => response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(html));
  const port = await listen(server);
  return { url: `http://127.0.0.1:${port}/`, end: () => close(server) };
}

/** A proxy through which the browser would go for everything that is not on this machine: it refuses, and remembers what was wanted. */
export async function wall(): Promise<{ url: string; wanted: string[]; end(): Promise<void> }> {
  const wanted: string[] = [];
  const server = createServer((incoming, response) => {
    wanted.push(incoming.url ?? "");
    response.writeHead(502).end();
  });
  server.on("connect", (incoming, socket) => {
    wanted.push(incoming.url ?? "");
    socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n");
  });
  const port = await listen(server);
  return { url: `http://127.0.0.1:${port}`, wanted, end: () => close(server) };
}

const refuse = (socket: Socket): void => void socket.destroy();

async function listen(server: Server): Promise<number> {
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return (server.address() as AddressInfo).port;
}

/** Streams never end by themselves. */
function close(server: Server): Promise<void> {
  return new Promise((closed) => {
    server.close(() => closed());
    server.closeAllConnections();
  });
}
