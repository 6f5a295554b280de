// What is open beside a list on a wide page and instead of it on a narrow one: a title, a way back, and its parts. It looks as an opened pull does.

import type { ReactNode } from "react";
import { go, href, type Step } from "../../app/here";
import { CLOSED } from "../../core/place";
import type { State } from "../../core/look";
import { Mark } from "../../parts/Mark";
import { Text } from "../../parts/Text";

export function Side({ label, state, progress, title, kind, children }: { label: string; state?: State; progress?: number; title: ReactNode; kind: string; children: ReactNode }) {
  return (
    <aside className="pull" aria-label={label}>
      <header className="pull-head">
        <div className="pull-title">
          <button type="button" className="button bare" aria-label="Close" title="Close (Esc)" onClick={() => go({ ...CLOSED })}>
            <span className="close-wide" aria-hidden="true">×</span>
            <span className="close-narrow" aria-hidden="true">←</span>
          </button>
          {state && <Mark state={state} progress={progress ?? 0} label={state} />}
          <h2>
            <span className="side-kind soft">
              <Text>{kind}</Text>
            </span>
            {title}
          </h2>
        </div>
      </header>
      {children}
    </aside>
  );
}

/** A part of it, with a heading. */
export function Section({ title, more, children }: { title: string; more?: ReactNode; children: ReactNode }) {
  return (
    <section className="section" aria-label={title}>
      <div className="section-head">
        <h3>{title}</h3>
        {more}
      </div>
      {children}
    </section>
  );
}

/** A link to another place of this page, that can be opened elsewhere too. */
export function To({ step, className, children }: { step: Step; className?: string; children: ReactNode }) {
  return (
    <a
      className={className}
      href={href(step)}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey) return;
        event.preventDefault();
        go(step);
      }}
    >
      {children}
    </a>
  );
}

/** One fact of a list of facts. */
export function Fact({ name, wide, children }: { name: string; wide?: boolean; children: ReactNode }) {
  return (
    <div className={wide ? "wide" : undefined}>
      <dt>
        <Text>{name}</Text>
      </dt>
      <dd>{typeof children === "string" ? <Text>{children}</Text> : children}</dd>
    </div>
  );
}
