// The heading of a group: its name, how many pulls are in which state, and how fast they are together.

import { STATES, type State } from "../../core/look";
import type { Row } from "../../core/order";
import { count, percent, share, speed } from "../../core/words";
import { Mark } from "../../parts/Mark";
import { Text } from "../../parts/Text";

export function GroupHead({ row }: { row: Extract<Row, { kind: "group" }> }) {
  const { sum } = row;
  const progress = sum.toFetch > 0 ? `${percent(Math.min(99, (100 * sum.fetched) / sum.toFetch))}, ${share(sum.fetched, sum.toFetch)}` : "";
  return (
    <>
      <span aria-hidden="true" className="soft">
        {row.isClosed ? "▸" : "▾"}
      </span>
      <strong className="cut">
        <Text>{row.name}</Text>
      </strong>
      <span className="off-screen">{`${count(sum.pulls, "pull")}, ${row.isClosed ? "closed" : "open"}`}</span>
      <span className="group-states">
        {STATES.filter((state) => sum.states[state]).map((state: State) => (
          <span key={state} className={`group-state s-${state}`} title={state}>
            <Mark state={state} progress={0.6} label={state} /> {sum.states[state]}
          </span>
        ))}
      </span>
      {sum.running > 0 && (
        <span className="soft cut">
          {[progress, sum.bytesPerSec > 0 && speed(sum.bytesPerSec)].filter(Boolean).join(" · ")}
        </span>
      )}
    </>
  );
}
