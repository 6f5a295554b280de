// One box for all filters: terms become chips as soon as they are complete, what is being typed is completed from the names that are there.

import { type KeyboardEvent, useId, useMemo, useRef, useState } from "react";
import { go, usePlace } from "../../app/here";
import { store } from "../../app/live";
import { complete, IS, type Names, parse, print, printed, type Proposal, type Term } from "../../core/query";
import { shown } from "../../core/safe";
import { Text } from "../../parts/Text";

/** `what` is filtered. */
export function QueryBox({ what = "pulls" }: { what?: string }) {
  const { q } = usePlace();
  const [typed, setTyped] = useState("");
  const [isOpen, setOpen] = useState(false);
  const [at, setAt] = useState(-1);
  const input = useRef<HTMLInputElement>(null);
  const id = useId();
  // The address holds everything; the last term may still be in the box.
  const query = parse(q);
  const last = query.terms.at(-1);
  const isTyping = last !== undefined && typed !== "" && print(last) === printed(parse(typed));
  const chips = isTyping ? query.terms.slice(0, -1) : query.terms;
  const proposals = useMemo(() => (isOpen ? complete(typed, names()) : []), [isOpen, typed]);

  const write = (terms: Term[], text: string): void => {
    setTyped(text);
    setAt(-1);
    go({ q: printed({ terms: [...terms, ...parse(text).terms] }) }, "replace");
  };
  const type = (text: string): void => {
    setOpen(true);
    const isWhole = /\s$/.test(text) && (text.match(/"/g)?.length ?? 0) % 2 === 0;
    if (isWhole) write([...chips, ...parse(text).terms], "");
    else write(chips, text);
  };
  const take = ({ text }: Proposal): void => {
    if (text.endsWith(":")) write(chips, text);
    else write([...chips, ...parse(text).terms], "");
    input.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const chosen = proposals[at];
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const step = event.key === "ArrowDown" ? 1 : -1;
      setOpen(true);
      setAt(proposals.length === 0 ? -1 : (at + step + proposals.length + (at < 0 && step < 0 ? 1 : 0)) % proposals.length);
    } else if (event.key === "Tab" && isOpen && typed !== "" && proposals.length > 0 && !event.shiftKey) {
      take(chosen ?? (proposals[0] as Proposal));
    } else if (event.key === "Enter") {
      if (chosen) take(chosen);
      else {
        write([...chips, ...parse(typed).terms], "");
        setOpen(false);
      }
    } else if (event.key === "Backspace" && typed === "" && chips.length > 0) {
      const back = chips.at(-1) as Term;
      write(chips.slice(0, -1), print(back));
    } else if (event.key === "Escape") {
      event.stopPropagation();
      if (isOpen && proposals.length > 0) setOpen(false);
      else if (typed) write(chips, "");
      else document.querySelector<HTMLElement>("[data-grid]")?.focus();
    } else return;
    event.preventDefault();
  };

  return (
    <div className="query" onClick={(event) => event.target === event.currentTarget && input.current?.focus()}>
      <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true" fill="none" stroke="currentColor" strokeWidth="1.6">
        <circle cx="7" cy="7" r="4.5" />
        <path d="M10.5 10.5L14 14" />
      </svg>
      {chips.map((term, index) => (
        <span key={print(term)} className={`chip${isKnown(term) ? "" : " odd"}`} title={isKnown(term) ? undefined : "No such state"}>
          <Text>{print(term)}</Text>
          <button type="button" aria-label={`Remove ${shown(print(term))}`} onClick={() => write(chips.filter((_, other) => other !== index), typed)}>
            ×
          </button>
        </span>
      ))}
      <input
        ref={input}
        data-query
        type="text"
        role="combobox"
        aria-label={`Filter ${what}`}
        aria-expanded={proposals.length > 0}
        aria-controls={id}
        aria-autocomplete="list"
        aria-activedescendant={at < 0 ? undefined : `${id}-${at}`}
        autoComplete="off"
        autoCapitalize="off"
        spellCheck={false}
        placeholder={chips.length === 0 ? "Filter: is:stalled ns:prod node:gpu* or any text" : ""}
        value={typed}
        onChange={({ target }) => type(target.value)}
        onFocus={() => setOpen(true)}
        onBlur={() => setOpen(false)}
        onKeyDown={onKeyDown}
      />
      {q !== "" && (
        <button type="button" className="query-clear" aria-label="Remove all filters" onClick={() => write([], "")}>
          ×
        </button>
      )}
      <ul id={id} role="listbox" aria-label="Proposals" className="proposals" hidden={proposals.length === 0}>
        {proposals.map((proposal, index) => (
          <li
            key={proposal.text}
            id={`${id}-${index}`}
            role="option"
            aria-selected={index === at}
            onPointerDown={(event) => {
              event.preventDefault();
              take(proposal);
            }}
          >
            <Text>{proposal.text}</Text>
            <span className="soft">{proposal.help}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}

const isKnown = (term: Term): boolean => term.key !== "is" || Object.hasOwn(IS, term.value.toLowerCase());

/** The names that are there now. */
function names(): Names {
  const found = { ns: new Set<string>(), node: new Set<string>(), registry: new Set<string>(), workload: new Set<string>(), class: new Set<string>(), image: new Set<string>(), pod: new Set<string>() };
  for (const pull of store.pulls.all.values()) {
    found.node.add(pull.nodeName);
    if (pull.registry) found.registry.add(pull.registry);
    if (pull.errorClass) found.class.add(pull.errorClass);
    if (pull.imageRef) found.image.add(pull.imageRef);
    for (const pod of pull.pods ?? []) {
      found.ns.add(pod.namespace);
      found.pod.add(pod.podName);
      if (pod.workload) found.workload.add(pod.workload.name);
    }
  }
  return found;
}
