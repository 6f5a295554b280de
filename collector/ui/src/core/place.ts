// Where a person is: everything that can be linked to, as the query of the address. Only the query is used, so that the page works below any
// path and the server knows one page. What is usual is left out; what is not understood is ignored.

import { GROUPS, SORTS, type Group, type Sort } from "./order";

export const VIEWS = ["pulls", "workloads", "nodes", "images"] as const;
export type View = (typeof VIEWS)[number];

export interface Place {
  view: View;
  /** The query box. */
  q: string;
  sort: Sort;
  isReversed: boolean;
  group?: Group;
  /** The pull that is open beside the list. */
  pull?: string;
  /** The pod that is open, `namespace/name`. */
  pod?: string;
  /** The workload that is open, `namespace/kind/name`. */
  workload?: string;
  /** The node that is open. */
  node?: string;
  /** The image that is open, by its full name. */
  image?: string;
  /** What the view of workloads lists, if not workloads. */
  list?: "pods";
  /** The column by which a view other than that of pulls is sorted; `-` before it turns it round. */
  by?: string;
}

/** Nothing is open. */
export const CLOSED = { pull: undefined, pod: undefined, workload: undefined, node: undefined, image: undefined };

const OPEN = ["by", "workload", "node", "image", "pod", "pull"] as const;

export const HOME: Place = { view: "pulls", q: "", sort: "need", isReversed: false };

/** From `?q=...`; also takes what older links say. */
export function readPlace(search: string): Place {
  const asked = new URLSearchParams(search);
  const sort = asked.get("sort") ?? "";
  const place: Place = {
    view: oneOf(VIEWS, asked.get("view")) ?? "pulls",
    q: (asked.get("q") ?? "").trim(),
    sort: oneOf(SORTS, sort.replace(/^-/, "")) ?? "need",
    isReversed: sort.startsWith("-"),
  };
  const group = oneOf(GROUPS, asked.get("group"));
  if (group) place.group = group;
  if (asked.get("list") === "pods") place.list = "pods";
  for (const key of OPEN) {
    const value = asked.get(key);
    if (value) place[key] = value;
  }
  return place;
}

/** The shortest query that leads there; empty for home. */
export function writePlace(place: Place): string {
  const asked = new URLSearchParams();
  if (place.view !== "pulls") asked.set("view", place.view);
  if (place.q.trim()) asked.set("q", place.q.trim());
  if (place.sort !== "need" || place.isReversed) asked.set("sort", `${place.isReversed ? "-" : ""}${place.sort}`);
  for (const key of ["group", "list", ...OPEN] as const) {
    const value = place[key];
    if (value) asked.set(key, value);
  }
  const text = asked.toString().replaceAll("%3A", ":").replaceAll("%2F", "/");
  return text ? `?${text}` : "";
}

const oneOf = <T extends string>(all: readonly T[], text: string | null): T | undefined => all.find((word) => word === text);
