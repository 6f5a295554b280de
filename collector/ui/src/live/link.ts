// Joins this tab to the hub: in a SharedWorker; where browsers have none, in the tab that holds a lock, which serves the others over a
// BroadcastChannel; where there are no locks either, in this tab alone.

import { Hub, type Down, type Tab, type Up } from "./hub";
import { root } from "./root";
import { browser } from "./world";

export type Link = (message: Up) => void;

export function link(receive: (message: Down) => void): Link {
  try {
    if (typeof SharedWorker === "function") return withWorker(receive);
  } catch {
    // Refused by the browser's settings; the other ways ask for less.
  }
  return typeof BroadcastChannel === "function" && "locks" in navigator ? withLock(receive) : alone(receive);
}

function withWorker(receive: (message: Down) => void): Link {
  const worker = new SharedWorker(new URL("./worker.ts", import.meta.url), { type: "module", name: "pulltrace" });
  let send: Link = (message) => worker.port.postMessage(message);
  worker.port.onmessage = ({ data }: MessageEvent<Down>) => receive(data);
  worker.onerror = () => {
    send = alone(receive);
    send("join");
  };
  return (message) => send(message);
}

function alone(receive: (message: Down) => void): Link {
  const hub = new Hub(root, browser);
  const tab: Tab = { send: receive };
  return (message) => hub.take(tab, message);
}

/** What goes over the channel: to the hub with the sender's name, or from it to one tab. */
type Letter = { from: string; up: Up } | { to: string; down: Down };

function withLock(receive: (message: Down) => void): Link {
  const channel = new BroadcastChannel(`pulltrace ${root}`);
  const me = `${Date.now()} ${Math.random()}`;
  let own: Link | null = null;
  let isAwake = false;
  void navigator.locks.request(`pulltrace ${root}`, () => {
    // The hub is ours until this tab ends; then the next one that waits begins its own.
    const hub = new Hub(root, browser);
    const tabs = new Map<string, Tab>();
    const tabOf = (name: string): Tab => {
      const tab = tabs.get(name) ?? { send: (down: Down) => channel.postMessage({ to: name, down } satisfies Letter) };
      tabs.set(name, tab);
      return tab;
    };
    const here: Tab = { send: receive };
    own = (message) => hub.take(here, message);
    channel.onmessage = ({ data }: MessageEvent<Letter>) => "from" in data && hub.take(tabOf(data.from), data.up);
    channel.postMessage({ to: "", down: { kind: "status", status: { kind: "connecting" } } } satisfies Letter);
    if (isAwake) own("join");
    return new Promise(() => undefined);
  });
  channel.onmessage = ({ data }: MessageEvent<Letter>) => {
    if (!("to" in data)) return;
    if (data.to === me) receive(data.down);
    // A new hub asks who is there.
    else if (data.to === "" && isAwake) channel.postMessage({ from: me, up: "join" } satisfies Letter);
  };
  return (message) => {
    isAwake = message === "join" || message === "wake" || (isAwake && message === "doubt");
    if (own) own(message);
    else channel.postMessage({ from: me, up: message } satisfies Letter);
  };
}
