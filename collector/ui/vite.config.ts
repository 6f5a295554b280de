// How the page is built: into `dist/`, which the collector embeds. All addresses are relative, so that it works below any path; every text file
// gets a compressed twin, so that nobody compresses while people wait.

import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

/** Folders between the application's root and `/embed/pod/{namespace}/{pod}`. */
const UP_FROM_WIDGET = "../../../";

export default defineConfig({
  base: "./",
  plugins: [react(), widgetAddresses(), sweepAndCompress("dist")],
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    emptyOutDir: false,
    sourcemap: false,
    rolldownOptions: { input: { index: "index.html", embed: "embed.html" } },
  },
  worker: { format: "es" },
  server: { proxy: { "/api": process.env["PULLTRACE_SERVER"] ?? "http://127.0.0.1:8080" } },
  test: { include: ["test/**/*.test.ts"] },
} as Parameters<typeof defineConfig>[0]);

/** The widget's page is served from three folders further down. */
function widgetAddresses(): Plugin {
  return {
    name: "widget-addresses",
    apply: "build",
    transformIndexHtml: {
      order: "post",
      handler: (html, { path }) => (path.endsWith("embed.html") ? html.replaceAll('"./', `"${UP_FROM_WIDGET}`) : html),
    },
  };
}

/** Removes what the last build left, but not what is kept in the repository; afterwards compresses. */
function sweepAndCompress(folder: string): Plugin {
  return {
    name: "sweep-and-compress",
    apply: "build",
    buildStart() {
      for (const name of readdirSync(folder)) if (name !== ".gitignore") rmSync(join(folder, name), { recursive: true });
    },
    closeBundle() {
      for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
        if (!/\.(html|js|css|svg)$/.test(name)) continue;
        const text = readFileSync(join(folder, name));
        const params = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY };
        writeFileSync(join(folder, `${name}.br`), brotliCompressSync(text, { params }));
      }
    },
  };
}
