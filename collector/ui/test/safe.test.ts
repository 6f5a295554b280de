import { expect, test } from "vitest";
import { isPlain, shown, stretches } from "../src/core/safe";

test("what cannot be seen, or turns a text round, is shown by its code", () => {
  expect(shown("app\u202e1.gpj\u0000\u{e0041}")).toBe("app⟨U+202E⟩1.gpj⟨U+0000⟩⟨U+E0041⟩");
  expect(stretches("a\u200bb")).toEqual([{ text: "a", isCode: false }, { text: "U+200B", isCode: true }, { text: "b", isCode: false }]);
});

test("half of a character is no character", () => {
  expect(shown("a\ud800")).toBe("a⟨U+D800⟩");
});

test("texts in any script are left alone", () => {
  for (const text of ["nginx:1.27", "приложение", "应用", "שלום", "😀 two\nlines"]) expect(isPlain(text)).toBe(true);
});
