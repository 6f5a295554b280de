// Text from outside (names of images and pods, errors) may hold characters that cannot be seen or that turn the direction of what follows.
// They are shown by their code, so that two names that differ look different.

/** A stretch of a text: as it is, or one character by its code. */
export interface Stretch {
  text: string;
  isCode: boolean;
}

// Controls but newline and tab, spaces that are none or look like none, direction marks, joiners, tags, unpaired surrogates.
const UNSEEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\u{e0000}-\u{e0fff}]|\p{Surrogate}/gu;

export const isPlain = (text: string): boolean => text.search(UNSEEN) < 0;

export function stretches(text: string): Stretch[] {
  const parts: Stretch[] = [];
  let from = 0;
  for (const found of text.matchAll(UNSEEN)) {
    if (found.index > from) parts.push({ text: text.slice(from, found.index), isCode: false });
    parts.push({ text: code(found[0]), isCode: true });
    from = found.index + found[0].length;
  }
  if (from < text.length) parts.push({ text: text.slice(from), isCode: false });
  return parts;
}

/** The same as one text, for places that take no markup: titles and labels. */
export const shown = (text: string): string => (isPlain(text) ? text : text.replace(UNSEEN, (char) => `⟨${code(char)}⟩`));

const code = (char: string): string => `U+${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`;
