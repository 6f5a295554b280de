// A pull for tests, with what a test says about it.

import type { PullStatus } from "../src/core/types";

export function pull(some: Partial<PullStatus> = {}): PullStatus {
  return {
    id: "a".repeat(32),
    nodeName: "node-1",
    containerdNamespace: "k8s.io",
    imageRef: "ghcr.io/team/app:1",
    registry: "ghcr.io",
    phase: "downloading",
    summary: "Downloading.",
    totalBytes: 1000,
    totalKnown: true,
    downloadedBytes: 0,
    cachedBytes: 0,
    layerCount: 2,
    layersDone: 0,
    layersCached: 0,
    startedAt: "2026-01-01T00:00:00Z",
    updatedAt: "2026-01-01T00:00:00Z",
    stale: false,
    ...some,
  };
}
