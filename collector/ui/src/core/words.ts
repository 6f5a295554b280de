// Numbers and names as people read them: the same words as the collector's sentences (`lifecycle::explain`), tested with the same examples.
// Sizes are binary, rates decimal, everything rounded down so that a part never reads as the whole.

const KIB = 1024;

/** `0.4 s`, `14 s`, `2 m 10 s`, `1 h 05 m`. */
export function time(seconds: number): string {
  const whole = Math.floor(Math.max(0, seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (h > 0) return `${h} h ${two(m)} m`;
  if (m > 0) return `${m} m ${two(s)} s`;
  if (s > 0) return `${s} s`;
  return `0.${Math.max(1, Math.floor(Math.max(0, seconds) * 10 + 1e-9))} s`;
}

/** A time of which only the largest unit matters: `14 s`, `2 m`, `5 h`, `3 d`. */
export function age(seconds: number): string {
  const whole = Math.floor(Math.max(0, seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} m`;
  if (whole < 48 * 3600) return `${Math.floor(whole / 3600)} h`;
  return `${Math.floor(whole / 86400)} d`;
}

/** Bytes in binary units: `410 MiB`, `2.8 GiB`. */
export function size(bytes: number): string {
  const [unit, name] = binaryUnit(bytes);
  return `${inUnits(bytes, unit)} ${name}`;
}

/** Bytes per second in decimal units: `88 MB/s`, `9.8 MB/s`, `40 kB/s`. */
export function speed(rate: number): string {
  const units: [number, string][] = [[1e9, "GB/s"], [1e6, "MB/s"], [1e3, "kB/s"]];
  const [unit, name] = units.find(([unit]) => rate >= unit) ?? [1, "B/s"];
  return `${inUnits(rate, unit)} ${name}`;
}

/** `1.2 of 2.8 GiB`; each with its own unit where one unit would make the part look like nothing. */
export function share(part: number, whole: number): string {
  const [unit, name] = binaryUnit(whole);
  if (part === 0 || part >= unit / 10) return `${inUnits(part, unit)} of ${inUnits(whole, unit)} ${name}`;
  return `${size(part)} of ${size(whole)}`;
}

/** `about 19 s`, `20 s to 1 m 05 s` where one number would say too much, `at least 40 s`; nothing where nothing is known. */
export function expected(likely?: number, low?: number, high?: number): string | undefined {
  if (low !== undefined && high !== undefined && high >= 2 * low && Math.floor(high) > Math.floor(low) + 1) {
    return `${time(low)} to ${time(high)}`;
  }
  if (likely !== undefined) return `about ${time(likely)}`;
  return low === undefined ? undefined : `at least ${time(low)}`;
}

/** `62 %`; never 100 before everything is there. */
export const percent = (value: number): string => `${Math.floor(value)} %`;

/** `1st`, `2nd`, `3rd`, `11th`. */
export function ordinal(n: number): string {
  if (n % 100 >= 11 && n % 100 <= 13) return `${n}th`;
  return `${n}${["th", "st", "nd", "rd"][n % 10] ?? "th"}`;
}

/** `1 pull`, `3 pulls`, `12 345 pulls`. */
export const count = (n: number, one: string, many = `${one}s`): string => `${grouped(n)} ${n === 1 ? one : many}`;

/** Thousands apart, with a space that does not break. */
export const grouped = (n: number): string => String(Math.floor(n)).replace(/\B(?=(\d{3})+$)/g, "\u202f");

/** A digest as people tell them apart: six hexadecimal digits. */
export const shortDigest = (digest: string): string => digest.replace(/^[a-z0-9]+:/, "").slice(0, 6);

/** What people leave out of the name of an image. */
export function familiar(image: string): string {
  return image.replace(/^docker\.io\/(library\/)?/, "").replace(/@sha256:([0-9a-f]{6})[0-9a-f]+$/, "@$1");
}

function binaryUnit(bytes: number): [number, string] {
  if (bytes >= KIB ** 3) return [KIB ** 3, "GiB"];
  if (bytes >= KIB ** 2) return [KIB ** 2, "MiB"];
  return bytes >= KIB ? [KIB, "KiB"] : [1, "B"];
}

/** With one decimal below ten units, else whole. */
function inUnits(bytes: number, unit: number): string {
  if (bytes === 0 || unit === 1 || bytes / unit >= 10) return String(Math.floor(bytes / unit));
  return (Math.floor((bytes * 10) / unit) / 10).toFixed(1);
}

const two = (n: number): string => String(n).padStart(2, "0");

/** The name of an image in the parts that people look for: whose, where, and which. `docker.io` is left out, as everywhere. */
export function nameParts(image: string): { registry: string; path: string; name: string } {
  const text = familiar(image);
  const host = text.slice(0, text.indexOf("/") + 1);
  const registry = /[.:]|^localhost\/$/.test(host) ? host : "";
  const rest = text.slice(registry.length);
  const cut = rest.split("@")[0]?.lastIndexOf("/") ?? -1;
  return { registry, path: rest.slice(0, cut + 1), name: rest.slice(cut + 1) };
}

/** What a pull is called where its image has no name yet. */
export function imageName(imageRef?: string, imageDigest?: string): string {
  if (imageRef) return familiar(imageRef);
  return imageDigest ? `image ${shortDigest(imageDigest)}` : "name not known yet";
}
