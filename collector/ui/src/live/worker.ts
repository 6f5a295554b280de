// The SharedWorker: one hub for all tabs.

import { Hub, type Tab, type Up } from "./hub";
import { root } from "./root";
import { browser } from "./world";

const hub = new Hub(root, browser);

(globalThis as unknown as { onconnect: (event: MessageEvent) => void }).onconnect = ({ ports: [port] }) => {
  if (!port) return;
  const tab: Tab = { send: (message) => port.postMessage(message) };
  port.onmessage = ({ data }: MessageEvent<Up>) => hub.take(tab, data);
};

// The tabs cannot all know that the network came back; the worker does.
addEventListener("online", () => hub.take({ send: () => undefined }, "doubt"));
