// The plain page: one row per pull, as the event stream tells it. Every text from outside becomes a text node, never markup.
"use strict";

const MAX_ROWS = 200;
const MARKS = {
  queued: "○", resolving: "○", downloading: "◉", unpacking: "◐", ready: "✓", waiting: "◷", failed: "✗", canceled: "–", lost: "?",
};
const pulls = new Map();
const rows = new Map();
const list = document.getElementById("pulls");
let seen = null;

const state = (pull) => {
  if (pull.outcome) return pull.outcome;
  if (pull.stale) return "lost";
  return pull.wait ? "waiting" : pull.phase;
};

const element = (tag, name) => Object.assign(document.createElement(tag), { className: name });

const newRow = () => {
  const row = { item: document.createElement("li") };
  row.mark = element("span", "mark");
  row.image = element("span", "image");
  row.node = element("span", "node");
  row.bar = element("progress", "");
  row.sentence = element("span", "sentence");
  row.bar.max = 100;
  row.item.append(row.mark, row.image, row.node, row.bar, row.sentence);
  return row;
};

const show = (pull) => {
  const row = rows.get(pull.id) ?? newRow();
  rows.set(pull.id, row);
  const now = state(pull);
  row.item.className = now;
  row.mark.textContent = MARKS[now] ?? "○";
  row.mark.title = now;
  row.image.textContent = pull.imageRef ?? pull.imageDigest ?? "name not known yet";
  row.node.textContent = pull.nodeName;
  row.sentence.textContent = pull.summary;
  row.bar.setAttribute("aria-label", `${row.image.textContent}: ${now}`);
  if (pull.percent === undefined && !pull.outcome) row.bar.removeAttribute("value");
  else row.bar.value = pull.percent ?? 0;
};

// Running pulls first, then the most recently ended; what was newest stays where it is otherwise.
const order = (a, b) =>
  Boolean(a.outcome) - Boolean(b.outcome) || (b.completedAt ?? b.startedAt).localeCompare(a.completedAt ?? a.startedAt) || a.id.localeCompare(b.id);

let drawing = false;
const draw = () => {
  drawing = false;
  const shown = [...pulls.values()].sort(order).slice(0, MAX_ROWS);
  const kept = new Set(shown.map((pull) => pull.id));
  for (const [id, row] of rows) if (!kept.has(id)) { row.item.remove(); rows.delete(id); }
  shown.forEach((pull, at) => {
    show(pull);
    const item = rows.get(pull.id).item;
    if (list.children[at] !== item) list.insertBefore(item, list.children[at] ?? null);
  });
  const active = [...pulls.values()].filter((pull) => !pull.outcome).length;
  document.getElementById("counts").textContent = `${active} running, ${pulls.size - active} ended`;
  document.getElementById("empty").hidden = pulls.size > 0;
};
const changed = () => { if (!drawing) { drawing = true; requestAnimationFrame(draw); } };

const live = (text) => {
  const sign = document.getElementById("live");
  sign.textContent = text;
  sign.className = text;
};

const stream = new EventSource("api/v1/events");
stream.onopen = () => { live("live"); seen = new Set(); };
stream.onerror = () => live("reconnecting");
stream.onmessage = (message) => {
  const { pull } = JSON.parse(message.data);
  pulls.set(pull.id, pull);
  seen?.add(pull.id);
  changed();
};
stream.addEventListener("removed", (message) => { pulls.delete(JSON.parse(message.data).id); changed(); });
// After a snapshot, what it did not name is gone. A resumed stream has no snapshot and no sync.
stream.addEventListener("sync", () => {
  for (const id of pulls.keys()) if (!seen?.has(id)) pulls.delete(id);
  seen = null;
  changed();
});
