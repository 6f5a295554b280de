// Every view in both themes, wide and narrow: it comes up, axe finds nothing, and `kit/test` finds no complaint.

import { axe, expect, NARROW, test, untilRows, WIDE } from "./kit/test";

const VIEWS = ["pulls", "workloads", "nodes", "images"];

for (const view of VIEWS)
  for (const [theme, size] of [["light", WIDE], ["dark", WIDE], ["light", NARROW]] as const)
    test(`${view} can be used by everyone: ${theme}, ${size.width} px`, async ({ open }) => {
      const page = await open(`/?view=${view}`, { theme, size });
      await untilRows(page);
      expect(await axe(page)).toEqual([]);
    });
