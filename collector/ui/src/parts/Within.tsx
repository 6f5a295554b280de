// The name of something in a namespace: the namespace quietly before it.

import { Text } from "./Text";

export function Within({ namespace, name }: { namespace: string; name: string }) {
  return (
    <>
      <span className="where">
        <Text>{`${namespace}/`}</Text>
      </span>
      <span className="side-name">
        <Text>{name}</Text>
      </span>
    </>
  );
}
