// Cells that several tables have.

import type { ReactNode } from "react";
import type { RowData } from "@tanstack/react-table";
import type { State } from "../../core/look";
import { shown } from "../../core/safe";
import { grouped } from "../../core/words";
import type { Column, Layout } from "../../parts/Grid";
import { Mark } from "../../parts/Mark";
import { Text } from "../../parts/Text";

export function column<T extends RowData>(id: string, header: string, meta: Layout, cell: (row: T) => ReactNode): Column<T> {
  return { id, header: () => header || <span className="off-screen">{id}</span>, meta, cell: ({ row }) => cell(row.original) } as Column<T>;
}

/** How many are in a state; none is hardly to be seen. */
export function Number({ n, state, word }: { n: number; state: State; word: string }) {
  if (n === 0) return <span className="number none">0</span>;
  return (
    <span className={`number s-${state}`} title={`${n} ${word}`}>
      <Mark state={state} progress={0.6} /> {grouped(n)}
      <span className="off-screen">{` ${word}`}</span>
    </span>
  );
}

/** A text that is cut where room is short, and whole on hover. */
export function Cut({ children, className }: { children: string; className?: string }) {
  return (
    <span className={className} title={shown(children)}>
      <Text>{children}</Text>
    </span>
  );
}
