// The list of pods, page by page.

import type { PodItem } from "../../core/types";
import { pages } from "../../live/api";

export const allPods = pages<"pods", PodItem>("pods");
