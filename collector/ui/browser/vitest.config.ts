// The tests in a real browser: `npm run browser`, one file at a time. What they stand on is in `kit/`.

import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    root: new URL("..", import.meta.url).pathname,
    include: ["browser/*.test.ts"],
    globalSetup: "browser/kit/cluster.ts",
    fileParallelism: false,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    reporters: ["verbose"],
  },
});
