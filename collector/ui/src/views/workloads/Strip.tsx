// The node strip: one cell per node, ordered by state, a thousand on a screen. Which state a cell is in shows by its colour and by its form; the
// sentence of the one that is pointed at, by mouse or keys, stands below. Arrows, Home and End walk, Enter opens the node.

import { type KeyboardEvent, memo, useId, useRef, useState } from "react";
import { go } from "../../app/here";
import { CLOSED } from "../../core/place";
import { type Cell, counted } from "../../core/rollout";
import { shown } from "../../core/safe";
import { grouped } from "../../core/words";
import { Mark } from "../../parts/Mark";
import { Text } from "../../parts/Text";
import "./strip.css";

const nameOf = (node: string): string => node || "not on a node yet";

export function Strip({ cells }: { cells: readonly Cell[] }) {
  const [chosen, setChosen] = useState<string>();
  const box = useRef<HTMLDivElement>(null);
  const id = useId();
  const at = chosen === undefined ? -1 : cells.findIndex((cell) => cell.node === chosen);
  const cell = cells[at];
  const open = (node: string): void => {
    if (node) go({ view: "nodes", ...CLOSED, q: "", node });
  };
  const columns = (): number => {
    const [first, ...rest] = [...(box.current?.children ?? [])] as HTMLElement[];
    const below = rest.findIndex((other) => other.offsetTop > (first?.offsetTop ?? 0));
    return below < 0 ? cells.length : below + 1;
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const wide = event.key === "ArrowDown" || event.key === "ArrowUp" ? columns() : 1;
    const steps: Record<string, number> = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + wide, ArrowUp: at - wide, Home: 0, End: cells.length - 1 };
    const to = steps[event.key];
    if (to !== undefined) setChosen(cells[Math.max(0, Math.min(cells.length - 1, to))]?.node);
    else if (event.key === "Enter" && cell) open(cell.node);
    else return;
    event.preventDefault();
  };
  return (
    <div className="strip-box">
      <p className="strip-legend">
        {counted(cells).map(([state, n]) => (
          <span key={state} className={`strip-count s-${state}`}>
            <Mark state={state} progress={0.6} /> <strong>{grouped(n)}</strong> {state}
          </span>
        ))}
      </p>
      <div
        ref={box}
        className={`strip${cells.length > 300 ? " many" : ""}`}
        role="listbox"
        aria-label="Nodes, by state"
        aria-orientation="horizontal"
        tabIndex={0}
        aria-activedescendant={at < 0 ? undefined : `${id}-${at}`}
        onKeyDown={onKeyDown}
        onFocus={() => at < 0 && setChosen(cells[0]?.node)}
        onPointerOver={(event) => {
          const node = (event.target as HTMLElement).dataset["node"];
          if (node !== undefined) setChosen(node);
        }}
        onClick={(event) => open((event.target as HTMLElement).dataset["node"] ?? "")}
      >
        {cells.map((cell, index) => (
          <One key={cell.node} id={`${id}-${index}`} cell={cell} isChosen={index === at} />
        ))}
      </div>
      <p className="strip-sentence">
        {cell ? (
          <>
            <strong>
              <Text>{nameOf(cell.node)}</Text>
            </strong>{" "}
            <span className="soft">
              <Text>{cell.sentence}</Text>
              {cell.pods > 1 && ` (${cell.pods} pods)`}
            </span>
          </>
        ) : (
          <span className="soft">Point at a node, or walk with the arrows; Enter opens it.</span>
        )}
      </p>
    </div>
  );
}

const One = memo(
  function One({ id, cell, isChosen }: { id: string; cell: Cell; isChosen: boolean }) {
    const isFilling = cell.state === "downloading" || cell.state === "waiting" || cell.state === "stalled";
    return (
      <span
        id={id}
        role="option"
        aria-selected={isChosen}
        aria-label={shown(`${nameOf(cell.node)}, ${cell.state}: ${cell.sentence}`)}
        data-node={cell.node}
        className={`strip-cell s-${cell.state} is-${cell.state}`}
      >
        {isFilling && <span className="strip-fill" style={{ height: `${cell.fill * 100}%` }} />}
      </span>
    );
  },
  (a, b) => a.id === b.id && a.isChosen === b.isChosen && a.cell.node === b.cell.node && a.cell.state === b.cell.state && a.cell.fill === b.cell.fill && a.cell.sentence === b.cell.sentence,
);
