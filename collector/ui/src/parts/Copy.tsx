// A button that copies a text and says so, to eyes and ears.

import { useEffect, useState } from "react";

/** `says` stands on the button; without it there is only the sign. */
export function Copy({ text, what, says }: { text: string; what: string; says?: string }) {
  const [said, setSaid] = useState<"" | "copied" | "not copied">("");
  useEffect(() => {
    if (!said) return;
    const timer = setTimeout(() => setSaid(""), 1500);
    return () => clearTimeout(timer);
  }, [said]);
  return (
    <button type="button" className={says ? "button" : "button bare"} onClick={() => void copy(text).then((done) => setSaid(done ? "copied" : "not copied"))} title={`Copy ${what}`}>
      <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true" fill="none" stroke="currentColor" strokeWidth="1.4">
        <rect x="5.5" y="5.5" width="8" height="8" rx="1.5" />
        <path d="M10.5 5.5v-2a1 1 0 0 0-1-1h-6a1 1 0 0 0-1 1v6a1 1 0 0 0 1 1h2" />
      </svg>
      {said ? <span role="status">{said}</span> : says && <span aria-hidden="true">{says}</span>}
      {!said && <span className="off-screen">{`Copy ${what}`}</span>}
    </button>
  );
}

/** Pages that do not come over TLS have no clipboard of their own; a selection can be copied everywhere. */
async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "off-screen";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
