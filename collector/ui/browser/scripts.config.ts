// What is started by name and is no test of CI: `measure` (cargo xtask bench ui) and `screenshots` (cargo xtask screenshots).

import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    root: new URL("..", import.meta.url).pathname,
    include: ["browser/measure.ts", "browser/screenshots.ts"],
    globalSetup: "browser/kit/cluster.ts",
    fileParallelism: false,
    hookTimeout: 60_000,
    reporters: ["verbose"],
  },
});
