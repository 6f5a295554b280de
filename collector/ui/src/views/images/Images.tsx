// The view of images: how large, what was fetched and what was there, on how many nodes, how long it took.

import { useAsked } from "../../app/asked";
import { go, usePlace } from "../../app/here";
import type { ImageStatus } from "../../core/types";
import { size } from "../../core/words";
import { pages } from "../../live/api";
import { List } from "../list/List";
import { Unknown } from "../list/Unknown";
import { columns, said, sorts } from "./columns";
import { Image } from "./Image";

const EVERY = 3_000;
const ALL = pages<"images", ImageStatus>("images");

export function Images() {
  const { image } = usePlace();
  const { answer, problem } = useAsked("api/v1/images", EVERY, ALL);
  const rows = answer?.images;
  const fetched = rows?.reduce((sum, row) => sum + row.downloadedBytes, 0) ?? 0;
  const cached = rows?.reduce((sum, row) => sum + row.cachedBytes, 0) ?? 0;
  return (
    <List
      one="image"
      many="images"
      rows={rows}
      columns={columns}
      keyOf={(row) => row.imageRef}
      said={said}
      sorts={sorts}
      usual="need"
      open={image}
      onOpen={(row) => go({ image: row.imageRef === image ? undefined : row.imageRef })}
      foot={rows && rows.length > 0 && `${answer?.nextCursor ? "The first of them. " : ""}${size(fetched)} fetched, ${size(cached)} cached`}
      empty={
        <Unknown problem={problem} isKnown={answer !== undefined}>
          <h2>No image was pulled lately.</h2>
          <p className="soft">Images are known by their pulls; what lay on the nodes before is not told of.</p>
        </Unknown>
      }
      side={image && <Image key={image} name={image} status={rows?.find((row) => row.imageRef === image)} isKnown={answer !== undefined} />}
    />
  );
}
