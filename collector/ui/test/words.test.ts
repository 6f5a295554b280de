// The same examples as the tests of `lifecycle::explain`: page and sentences write numbers alike.

import { expect, test } from "vitest";
import { age, count, expected, familiar, imageName, nameParts, ordinal, percent, share, shortDigest, size, speed, time } from "../src/core/words";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

test("times are written as people read them", () => {
  const written: [number, string][] = [[14, "14 s"], [59, "59 s"], [60, "1 m 00 s"], [130, "2 m 10 s"], [3900, "1 h 05 m"], [90_000, "25 h 00 m"], [0.42, "0.4 s"], [0, "0.1 s"]];
  for (const [seconds, text] of written) expect(time(seconds)).toBe(text);
});

test("sizes are binary and rounded down", () => {
  const written: [number, string][] = [[0, "0 B"], [1023, "1023 B"], [1024, "1.0 KiB"], [10 * MIB - 1, "9.9 MiB"], [10 * MIB, "10 MiB"]];
  for (const [bytes, text] of written) expect(size(bytes)).toBe(text);
});

test("rates are decimal", () => {
  const written: [number, string][] = [[999, "999 B/s"], [40_000, "40 kB/s"], [9_800_000, "9.8 MB/s"], [60_000_000, "60 MB/s"], [1_250_000_000, "1.2 GB/s"]];
  for (const [rate, text] of written) expect(speed(rate)).toBe(text);
});

test("a part of a whole has its own unit where one unit would make it look like nothing", () => {
  expect(share(Math.floor(1.2 * GIB) + 1, Math.floor(2.8 * GIB))).toBe("1.2 of 2.7 GiB");
  expect(share(3 * MIB, Math.floor(2.8 * GIB))).toBe("3.0 MiB of 2.7 GiB");
  expect(share(0, 2 * GIB)).toBe("0 of 2.0 GiB");
});

test("an estimate says as much as is known", () => {
  expect(expected(19)).toBe("about 19 s");
  expect(expected(19, 18, 21)).toBe("about 19 s");
  expect(expected(40, 20, 65)).toBe("20 s to 1 m 05 s");
  expect(expected(undefined, 40)).toBe("at least 40 s");
  expect(expected()).toBeUndefined();
});

test("what is nearly whole is not called whole", () => {
  expect(percent(99.9)).toBe("99 %");
});

test("numbers are counted and ordered", () => {
  expect([1, 2, 3, 4, 11, 12, 13, 21, 102, 111].map(ordinal)).toEqual(["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th"]);
  expect([count(1, "pull"), count(12345, "pull")]).toEqual(["1 pull", "12\u202f345 pulls"]);
});

test("an age has one unit", () => {
  expect([5, 61, 3599, 7300, 200_000].map(age)).toEqual(["5 s", "1 m", "59 m", "2 h", "2 d"]);
});

test("names are as people write them", () => {
  expect(familiar("docker.io/library/nginx:1.27")).toBe("nginx:1.27");
  expect(familiar("docker.io/team/app:1")).toBe("team/app:1");
  expect(familiar(`ghcr.io/team/app@sha256:${"3a1f9c".padEnd(64, "0")}`)).toBe("ghcr.io/team/app@3a1f9c");
  expect(shortDigest(`sha256:${"3a1f9c".padEnd(64, "0")}`)).toBe("3a1f9c");
});

test("the parts of a name are told apart, also with ports and digests", () => {
  expect(nameParts("registry.example.com:5000/team/a/app:1.2")).toEqual({ registry: "registry.example.com:5000/", path: "team/a/", name: "app:1.2" });
  expect(nameParts("docker.io/library/nginx:1.27")).toEqual({ registry: "", path: "", name: "nginx:1.27" });
  expect(nameParts("docker.io/team/app:1")).toEqual({ registry: "", path: "team/", name: "app:1" });
  expect(nameParts(`ghcr.io/a/b@sha256:${"3a1f9c".padEnd(64, "0")}`)).toEqual({ registry: "ghcr.io/", path: "a/", name: "b@3a1f9c" });
});

test("an image without a name has its digest, or says that it has none", () => {
  expect([imageName(undefined, "sha256:3a1f9c00"), imageName(), imageName("docker.io/library/a:1")]).toEqual(["image 3a1f9c", "name not known yet", "a:1"]);
});
