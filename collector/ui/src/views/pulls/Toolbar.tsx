// The query box, and by what the table is grouped and sorted.

import { go, usePlace } from "../../app/here";
import { GROUPS, SORTS, type Group, type Sort } from "../../core/order";
import { QueryBox } from "./QueryBox";

const SORT_NAMES: Record<Sort, string> = {
  need: "what needs you", image: "image", node: "node", state: "state", progress: "progress", speed: "speed", eta: "time left", size: "size", age: "newest",
};

export function Toolbar() {
  const place = usePlace();
  return (
    <div className="toolbar">
      <QueryBox />
      <label className="choice">
        <span className="soft">Group</span>
        <select className="button" value={place.group ?? ""} onChange={({ target }) => go({ group: (target.value as Group) || undefined }, "replace")}>
          <option value="">none</option>
          {GROUPS.map((group) => (
            <option key={group}>{group}</option>
          ))}
        </select>
      </label>
      <label className="choice">
        <span className="soft">Sort</span>
        <select className="button" value={place.sort} onChange={({ target }) => go({ sort: target.value as Sort, isReversed: false }, "replace")}>
          {SORTS.map((sort) => (
            <option key={sort} value={sort}>
              {SORT_NAMES[sort]}
            </option>
          ))}
        </select>
      </label>
    </div>
  );
}
