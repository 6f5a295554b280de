// Text from outside: as it is, but what cannot be seen is shown by its code, and its direction ends where it ends.

import { isPlain, stretches } from "../core/safe";

export function Text({ children }: { children: string }) {
  if (isPlain(children)) return <bdi>{children}</bdi>;
  return (
    <bdi>
      {stretches(children).map(({ text, isCode }, at) => (isCode ? <span key={at} className="unseen">{text}</span> : text))}
    </bdi>
  );
}
