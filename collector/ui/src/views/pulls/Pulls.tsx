// The first view: tiles, query box, and the live table of pulls with the opened pull beside it.

import { useMemo, useRef, useState } from "react";
import { go, usePlace } from "../../app/here";
import { useLive } from "../../app/live";
import { compile, parse } from "../../core/query";
import { held, list, type Listed, type Row } from "../../core/order";
import { count, grouped } from "../../core/words";
import { Grid } from "../../parts/Grid";
import { Pull } from "../pull/Pull";
import { columns } from "./columns";
import { Empty } from "./Empty";
import { GroupHead } from "./GroupHead";
import { Tiles } from "./Tiles";
import { Toolbar } from "./Toolbar";
import "./pulls.css";

export function Pulls() {
  const place = usePlace();
  const store = useLive();
  const [isHeld, setHeld] = useState(false);
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set());
  const listed = useListed(isHeld, closed);

  const open = (row: Row): void => {
    if (row.kind === "pull") return go({ pull: row.pull.id === place.pull ? undefined : row.pull.id });
    const next = new Set(closed);
    if (!next.delete(row.name)) next.add(row.name);
    setClosed(next);
  };
  const sort = (by: string): void => {
    const wanted = by as typeof place.sort;
    if (place.sort !== wanted) go({ sort: wanted, isReversed: false }, "replace");
    else if (!place.isReversed) go({ isReversed: true }, "replace");
    else go({ sort: "need", isReversed: false }, "replace");
  };

  return (
    <div className={`split${place.pull ? " opened" : ""}`}>
      <div className="split-list">
        <Tiles />
        <Toolbar />
        <Grid
          label="Pulls"
          columns={columns}
          rows={listed.rows}
          keyOf={keyOf}
          open={place.pull}
          onOpen={open}
          onHold={setHeld}
          sort={{ by: place.sort, isReversed: place.isReversed }}
          onSort={sort}
          classOf={classOf}
          across={(row) => row.kind === "group" && <GroupHead row={row} />}
          empty={<Empty hidden={listed.hidden} />}
        />
        <p className="foot soft">
          <span>
            {count(listed.shown, "pull")}
            {listed.hidden > 0 && (
              <>
                {`; filters hide ${grouped(listed.hidden)} `}
                <button type="button" className="link" onClick={() => go({ q: "" })}>
                  show all
                </button>
              </>
            )}
          </span>
          <span>{isHeld && store.isKnown && listed.rows.length > 0 ? "Rows stay where they are while you are in the table." : ""}</span>
        </p>
      </div>
      {place.pull && <Pull key={place.pull} id={place.pull} />}
    </div>
  );
}

const keyOf = (row: Row): string => row.key;
const classOf = (row: Row): string => (row.kind === "pull" && row.isGone ? "gone" : "");

/** The rows of the moment; while they are held, the order of the moment when that began. */
function useListed(isHeld: boolean, closed: ReadonlySet<string>): Listed {
  const place = usePlace();
  const { pulls } = useLive();
  const { version } = pulls;
  const before = useRef<{ wish: object; rows: Row[] } | null>(null);
  const wish = useMemo(
    () => ({
      test: compile(parse(place.q), pulls),
      sort: place.sort,
      isReversed: place.isReversed,
      closed,
      ...(place.group ? { group: place.group } : {}),
    }),
    [place.q, place.sort, place.isReversed, place.group, closed, pulls],
  );
  return useMemo(() => {
    const now = list(pulls, wish);
    const kept = before.current;
    const listed = isHeld && kept?.wish === wish ? held(kept.rows, now, pulls) : now;
    before.current = { wish, rows: listed.rows };
    return listed;
  }, [pulls, wish, isHeld, version]);
}
