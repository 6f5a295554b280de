// What the views of workloads, pods, nodes and images have in common: query box, a sorted table whose order is held while somebody is in it, a line
// below it that says what is hidden, and what is open beside it.

import type { RowData } from "@tanstack/react-table";
import { type ReactNode, useRef, useState } from "react";
import { go, usePlace } from "../../app/here";
import { arrange, type Columns, hold, pressed, wished } from "../../core/arrange";
import { parse, print } from "../../core/query";
import { idle, type Said, sift } from "../../core/sift";
import { count, grouped } from "../../core/words";
import { type Column, Grid } from "../../parts/Grid";
import { Text } from "../../parts/Text";
import { QueryBox } from "../pulls/QueryBox";
import "../pulls/pulls.css";
import "../pull/pull.css";
import "./list.css";

export interface ListProps<T extends RowData> {
  /** `node`, `nodes`. */
  one: string;
  many: string;
  /** Absent while nothing is known. */
  rows: readonly T[] | undefined;
  columns: Column<T>[];
  keyOf(row: T): string;
  said(row: T): Said;
  sorts: Columns<T>;
  /** By what it is sorted where nothing else is asked for. */
  usual: string;
  open?: string | undefined;
  onOpen(row: T): void;
  /** Beside the query box. */
  tools?: ReactNode;
  /** Above the table. */
  head?: ReactNode;
  /** Where there is nothing, not even hidden. */
  empty: ReactNode;
  /** More of the line below the table. */
  foot?: ReactNode;
  /** What is open. */
  side?: ReactNode;
}

export function List<T extends RowData>(props: ListProps<T>) {
  const { q, by } = usePlace();
  const [isHeld, setHeld] = useState(false);
  const before = useRef<{ wish: string; rows: T[] }>({ wish: "", rows: [] });
  const query = parse(q);
  const fits = sift(query);
  const all = props.rows ?? [];
  const wish = wished(by, props.sorts, props.usual);
  const key = `${q}\n${wish.by}${wish.isReversed}`;
  const sorted = arrange(all.filter((row) => fits(props.said(row))), wish, props.sorts, props.keyOf);
  const rows = isHeld && before.current.wish === key ? hold(before.current.rows, sorted, props.keyOf) : sorted;
  before.current = { wish: key, rows };
  const hidden = all.length - rows.length;
  const first = all[0];
  const useless = first === undefined ? [] : idle(query, props.said(first));
  return (
    <div className={`split${props.side ? " opened" : ""}`}>
      <div className="split-list">
        {props.head}
        <div className="toolbar">
          <QueryBox what={props.many} />
          {props.tools}
        </div>
        <Grid
          label={`${props.many[0]?.toUpperCase()}${props.many.slice(1)}`}
          columns={props.columns}
          rows={rows}
          keyOf={props.keyOf}
          open={props.open}
          onOpen={props.onOpen}
          onHold={setHeld}
          sort={wish}
          onSort={(column) => go({ by: pressed(wish, column, props.usual) }, "replace")}
          empty={hidden > 0 ? <Hidden hidden={hidden} props={props} /> : props.empty}
        />
        <p className="foot soft">
          <span>
            {props.rows && count(rows.length, props.one, props.many)}
            {hidden > 0 && (
              <>
                {`; filters hide ${grouped(hidden)} `}
                <button type="button" className="link" onClick={() => go({ q: "" })}>
                  show all
                </button>
              </>
            )}
            {useless.length > 0 && (
              <>
                {"; not a matter of "}
                {props.many}
                {": "}
                <Text>{useless.map(print).join(" ")}</Text>
              </>
            )}
          </span>
          <span>{props.foot}</span>
        </p>
      </div>
      {props.side}
    </div>
  );
}

function Hidden<T extends RowData>({ hidden, props }: { hidden: number; props: ListProps<T> }) {
  return (
    <div className="empty">
      <h2>{`No ${props.one} fits.`}</h2>
      <p className="soft">{`The filters hide ${count(hidden, props.one, props.many)}.`}</p>
      <button type="button" className="button" onClick={() => go({ q: "" })}>
        Show all
      </button>
    </div>
  );
}
