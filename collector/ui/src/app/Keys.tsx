// The keys that work everywhere, and the page of help that names them all and the language of the query box.

import { useEffect, useRef } from "react";
import { CLOSED, VIEWS } from "../core/place";
import { IS, KEY_HELP, KEYS } from "../core/query";
import { go } from "./here";

const HELP: [keys: string[], what: string][] = [
  [["/"], "to the query box"],
  [["j", "k"], "down and up; also arrows, Page, Home, End"],
  [["Enter"], "open or close what is chosen"],
  [["Esc"], "close; from the query box to the table"],
  [["g p", "g w", "g n", "g i"], "pulls, workloads, nodes, images"],
  [["?"], "this help"],
];

let dialog: HTMLDialogElement | null = null;
export const showKeys = (): void => dialog?.showModal();

export function Keys() {
  const isGoing = useRef(false);
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const target = event.target as HTMLElement;
      const isTyping = target.matches("input, textarea, select, [contenteditable]");
      if (event.ctrlKey || event.metaKey || event.altKey || dialog?.open) return;
      if (event.key === "Escape") {
        if (!isTyping) close();
        return;
      }
      if (isTyping) return;
      const wasGoing = isGoing.current;
      isGoing.current = false;
      if (wasGoing) {
        const view = VIEWS.find((name) => name.startsWith(event.key));
        if (view) go({ view, ...CLOSED, by: undefined });
      } else if (event.key === "/") focusOn("[data-query]");
      else if (event.key === "?") showKeys();
      else if (event.key === "g") isGoing.current = true;
      else if ((event.key === "j" || event.key === "k") && !target.matches("[data-grid]")) focusOn("[data-grid]");
      else return;
      event.preventDefault();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);
  return (
    <dialog ref={(element) => void (dialog = element)} className="keys" aria-labelledby="keys-title">
      <form method="dialog">
        <h2 id="keys-title">Keys</h2>
        <dl>
          {HELP.map(([keys, what]) => (
            <div key={what}>
              <dt>
                {keys.map((key) => (
                  <kbd key={key}>{key}</kbd>
                ))}
              </dt>
              <dd>{what}</dd>
            </div>
          ))}
        </dl>
        <h2>Query</h2>
        <p className="soft">
          Terms of one key are alternatives, different keys must all hold. <code>*</code> stands for anything, <code>-</code> before a term turns it round, anything else is a text to look for.
        </p>
        <dl>
          {KEYS.map((key) => (
            <div key={key}>
              <dt>
                <code>{key}:</code>
              </dt>
              <dd>{key === "is" ? Object.keys(IS).join(", ") : KEY_HELP[key]}</dd>
            </div>
          ))}
        </dl>
        <button className="button">Close</button>
      </form>
    </dialog>
  );
}

/** Closes what is open, and goes back to the table. */
function close(): void {
  go({ ...CLOSED });
  focusOn("[data-grid]");
}

const focusOn = (selector: string): void => document.querySelector<HTMLElement>(selector)?.focus();
