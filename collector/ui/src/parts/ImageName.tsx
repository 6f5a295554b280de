// The name of an image: what tells images apart stands out, and where room is short the registry gives way first.

import { shown } from "../core/safe";
import { imageName, nameParts } from "../core/words";
import { Text } from "./Text";
import "./image-name.css";

export function ImageName({ imageRef, imageDigest }: { imageRef?: string | undefined; imageDigest?: string | undefined }) {
  const { registry, path, name } = nameParts(imageName(imageRef, imageDigest));
  return (
    <span className={`image-name${imageRef ? "" : " unknown"}`} title={shown(imageRef ?? imageDigest ?? name)}>
      {(registry || path) && (
        <span className="image-where">
          <Text>{registry + path}</Text>
        </span>
      )}
      <span className="image-last">
        <Text>{name}</Text>
      </span>
    </span>
  );
}
