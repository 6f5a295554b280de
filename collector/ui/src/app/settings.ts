// What a person prefers on this machine: theme, how times are written, density. Kept by the browser, where it lets us; never in the address.

import { useSyncExternalStore } from "react";

export const THEMES = ["system", "light", "dark"] as const;
export const TIMES = ["relative", "local", "UTC"] as const;
export const DENSITIES = ["compact", "roomy"] as const;

export interface Settings {
  theme: (typeof THEMES)[number];
  times: (typeof TIMES)[number];
  density: (typeof DENSITIES)[number];
}

const NAME = "pulltrace";
const isDark = matchMedia("(prefers-color-scheme: dark)");
const readers = new Set<() => void>();
let settings: Settings = read();

export const useSettings = (): Settings => useSyncExternalStore(subscribe, () => settings);

export function change(some: Partial<Settings>): void {
  settings = { ...settings, ...some };
  try {
    localStorage.setItem(NAME, JSON.stringify(settings));
  } catch {
    // It holds as long as the page does.
  }
  wear();
  for (const reader of readers) reader();
}

/** The next of the choices. */
export const next = <T>(choices: readonly T[], now: T): T => choices[(choices.indexOf(now) + 1) % choices.length] as T;

/** Puts the settings onto the page; before the first drawing, and whenever the system's theme changes. */
export function wear(): void {
  const { dataset } = document.documentElement;
  dataset["theme"] = settings.theme === "system" ? (isDark.matches ? "dark" : "light") : settings.theme;
  dataset["density"] = settings.density;
}

isDark.addEventListener("change", wear);

function subscribe(reader: () => void): () => void {
  readers.add(reader);
  return () => readers.delete(reader);
}

function read(): Settings {
  let kept: Partial<Record<keyof Settings, unknown>> = {};
  try {
    kept = JSON.parse(localStorage.getItem(NAME) ?? "{}") as typeof kept;
  } catch {
    // Nothing kept, or nothing that can be read: as usual.
  }
  const one = <T,>(choices: readonly T[], value: unknown): T => choices.find((choice) => choice === value) ?? (choices[0] as T);
  return { theme: one(THEMES, kept.theme), times: one(TIMES, kept.times), density: one(DENSITIES, kept.density) };
}
