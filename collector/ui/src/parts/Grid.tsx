// The table of every view: rows of one height, of which only those on the screen exist; headers that sort; keys that walk. It draws what it is
// given in the order it is given. Columns are those of TanStack Table; the rows of a narrow page are two lines, by `grid.css`.

import { type ColumnDef, type RowData, tableFeatures, useTable } from "@tanstack/react-table";
import { defaultRangeExtractor, useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, type ReactNode, type RefObject, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "react";
import "./grid.css";

const features = tableFeatures({});

export type Features = typeof features;

/** What a column says about itself beside its cells. */
export interface Layout {
  /** A length of CSS grid: `120px`, `minmax(160px, 2fr)`. */
  width: string;
  /** By what it sorts; without it does not. */
  sort?: string;
  /** Numbers stand at the right. */
  isNumber?: boolean;
  /** Left out where the table is narrower than so many pixels. */
  from?: number;
  /** Where it stands in the two lines of a narrow row, as a CSS grid area; without it, it is left out there. */
  narrow?: string;
}

/** Below so many pixels a row has two lines. */
const NARROW = 620;

export type Column<T extends RowData> = ColumnDef<Features, T> & { meta?: Layout };

export interface GridProps<T extends RowData> {
  /** What the table shows, for those who do not see it. */
  label: string;
  columns: Column<T>[];
  rows: readonly T[];
  keyOf(row: T): string;
  /** The row that is open beside the table. */
  open?: string | undefined;
  onOpen(row: T): void;
  /** Instead of cells: headings of groups. */
  across?(row: T): ReactNode | undefined;
  /** More classes of a row. */
  classOf?(row: T): string;
  sort?: { by: string; isReversed: boolean };
  onSort?(by: string): void;
  /** A person looks closely: the order must not change now. */
  onHold?(isHeld: boolean): void;
  /** Instead of rows, where there are none. */
  empty?: ReactNode;
}

export function Grid<T extends RowData>(props: GridProps<T>) {
  const { rows, keyOf, open } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const [active, setActive] = useState<string>();
  const id = useId();
  const at = active === undefined ? -1 : rows.findIndex((row) => keyOf(row) === active);
  const { width, rowHeight } = useMeasure(scroller);
  const isNarrow = width < NARROW;
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 8,
    getItemKey: (index) => keyOf(rows[index] as T),
    // The row that keys point at exists even where it cannot be seen.
    rangeExtractor: (range) => [...new Set([...defaultRangeExtractor(range), ...(at < 0 ? [] : [at])])].sort((a, b) => a - b),
  });
  useEffect(() => virtual.measure(), [virtual, rowHeight]);
  const items = virtual.getVirtualItems();
  const fits = ({ meta }: Column<T>): boolean => (isNarrow ? meta?.narrow !== undefined : width >= (meta?.from ?? 0));
  const columns = useMemo(() => props.columns.filter(fits), [props.columns, width]);
  const table = useTable({ features, columns, data: items.map((item) => rows[item.index] as T), getRowId: keyOf });
  const drawn = table.getRowModel().rows;

  const move = (to: number): void => {
    const next = Math.max(0, Math.min(rows.length - 1, to));
    const row = rows[next];
    if (row === undefined) return;
    setActive(keyOf(row));
    virtual.scrollToIndex(next);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== event.currentTarget) return;
    const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? 0) / rowHeight) - 2);
    const steps: Record<string, number> = { j: at + 1, ArrowDown: at + 1, k: at - 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1, PageDown: at + page, PageUp: at - page };
    const to = steps[event.key];
    const row = rows[at];
    if (to !== undefined) move(to);
    else if ((event.key === "Enter" || event.key === " ") && row !== undefined) props.onOpen(row);
    else return;
    event.preventDefault();
  };

  const template = isNarrow ? {} : { gridTemplateColumns: columns.map((column) => column.meta?.width ?? "1fr").join(" ") };
  const areaOf = (layout?: Layout): { gridArea: string } | undefined => (isNarrow && layout?.narrow ? { gridArea: layout.narrow } : undefined);
  return (
    <div className={`grid-box${isNarrow ? " narrow" : ""}`}>
      <div
        ref={scroller}
        className="grid"
        role="grid"
        aria-label={props.label}
        aria-rowcount={rows.length + 1}
        aria-colcount={columns.length}
        tabIndex={0}
        data-grid
        aria-activedescendant={at < 0 ? undefined : `${id}-${at}`}
        onKeyDown={onKeyDown}
        onFocus={() => {
          props.onHold?.(true);
          if (at < 0 && rows[0] !== undefined) setActive(open !== undefined && rows.some((row) => keyOf(row) === open) ? open : keyOf(rows[0]));
        }}
        onBlur={() => props.onHold?.(false)}
        onPointerEnter={(event) => event.pointerType === "mouse" && props.onHold?.(true)}
        onPointerLeave={(event) => event.pointerType === "mouse" && props.onHold?.(false)}
      >
        <div role="rowgroup" className="grid-head">
          {table.getHeaderGroups().map((group) => (
            <div role="row" aria-rowindex={1} key={group.id} className="grid-row" style={template}>
              {group.headers.map((header) => {
                const layout = columns[header.index]?.meta;
                const isBy = layout?.sort !== undefined && props.sort?.by === layout.sort;
                const direction = isBy ? (props.sort?.isReversed ? "descending" : "ascending") : undefined;
                return (
                  <div role="columnheader" key={header.id} className={cellClass(layout)} aria-sort={direction}>
                    {layout?.sort !== undefined && props.onSort ? (
                      <button type="button" className="grid-sort" onClick={() => props.onSort?.(layout.sort as string)}>
                        <table.FlexRender header={header} />
                        <span aria-hidden="true">{isBy ? (props.sort?.isReversed ? " ↑" : " ↓") : ""}</span>
                      </button>
                    ) : (
                      <table.FlexRender header={header} />
                    )}
                  </div>
                );
              })}
            </div>
          ))}
        </div>
        <div role="rowgroup" className="grid-body" style={{ height: virtual.getTotalSize() }}>
          {drawn.map((row, index) => {
            const item = items[index];
            if (!item) return null;
            const key = keyOf(row.original);
            const across = props.across?.(row.original);
            return (
              <div
                role="row"
                key={key}
                id={`${id}-${item.index}`}
                aria-rowindex={item.index + 2}
                aria-selected={key === open}
                className={`grid-row${across ? " across" : ""}${item.index === at ? " active" : ""}${key === open ? " chosen" : ""} ${props.classOf?.(row.original) ?? ""}`}
                style={{ transform: `translateY(${item.start}px)`, ...(across ? {} : template) }}
                onClick={(event) => {
                  if ((event.target as Element).closest("a, button")) return;
                  setActive(key);
                  props.onOpen(row.original);
                }}
              >
                {across ? (
                  <div role="gridcell" aria-colspan={columns.length} className="grid-across">
                    {across}
                  </div>
                ) : (
                  row.getAllCells().map((cell, column) => (
                    <div role="gridcell" key={cell.id} className={cellClass(columns[column]?.meta)} style={areaOf(columns[column]?.meta)}>
                      <table.FlexRender cell={cell} />
                    </div>
                  ))
                )}
              </div>
            );
          })}
        </div>
      </div>
      {rows.length === 0 && <div className="grid-empty">{props.empty}</div>}
    </div>
  );
}

const cellClass = (layout?: Layout): string => (layout?.isNumber ? "cell num" : "cell");

/** How wide the table is, and how high a row: that differs with density, and on a narrow page. */
function useMeasure(scroller: RefObject<HTMLDivElement | null>): { width: number; rowHeight: number } {
  const [measure, setMeasure] = useState({ width: 1200, rowHeight: 32 });
  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const read = (): void => {
      const rowHeight = Number.parseFloat(getComputedStyle(element).getPropertyValue("--row-now"));
      setMeasure((before) => {
        const next = { width: element.clientWidth, rowHeight: rowHeight || before.rowHeight };
        return next.width === before.width && next.rowHeight === before.rowHeight ? before : next;
      });
    };
    read();
    const size = new ResizeObserver(read);
    size.observe(element);
    const style = new MutationObserver(read);
    style.observe(document.documentElement, { attributeFilter: ["data-density"] });
    style.observe(element.parentElement as Element, { attributeFilter: ["class"] });
    return () => {
      size.disconnect();
      style.disconnect();
    };
  }, [scroller]);
  return measure;
}
