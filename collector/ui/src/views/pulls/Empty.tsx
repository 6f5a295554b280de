// What stands where no pull is: why, what is connected, and how to make one.

import { useAsked } from "../../app/asked";
import { go } from "../../app/here";
import { useLive } from "../../app/live";
import type { Summary } from "../../core/types";
import { count } from "../../core/words";
import { Copy } from "../../parts/Copy";

const AGENTS = "kubectl get pods -A -l app.kubernetes.io/name=pulltrace";
const TEST_PULL = "kubectl run pulltrace-test --image=docker.io/library/busybox:1.36 --restart=Never -- true";

export function Empty({ hidden }: { hidden: number }) {
  const { isKnown, status } = useLive();
  const { answer } = useAsked<Summary>(isKnown && hidden === 0 ? "api/v1/summary" : undefined, 5000);
  if (!isKnown) {
    if (status.kind === "away" && (status.why === "unauthorized" || status.why === "forbidden")) return <NotAllowed why={status.why} />;
    return <p className="empty soft">{status.kind === "away" ? "Nothing is known yet: the collector does not answer." : "Asking the collector what is pulled now …"}</p>;
  }
  if (hidden > 0) {
    return (
      <div className="empty">
        <h2>No pull fits.</h2>
        <p className="soft">{`The filters hide ${count(hidden, "pull")}.`}</p>
        <button type="button" className="button" onClick={() => go({ q: "" })}>
          Show all
        </button>
      </div>
    );
  }
  const agents = answer?.nodesConnected;
  return (
    <div className="empty">
      <h2>{agents === 0 ? "No agent is connected." : "No pulls now."}</h2>
      {answer && <p className="soft">{`${count(answer.nodesConnected, "agent")} of ${answer.nodes} connected, ${count(answer.pulls, "pull")} in memory.`}</p>}
      {agents === 0 ? (
        <>
          <p className="soft">Agents run on every node and send to this collector. See whether they are there, and what they say in their logs:</p>
          <Command text={AGENTS} />
        </>
      ) : (
        <>
          <p className="soft">To see one, pull an image that is not on the node yet:</p>
          <Command text={TEST_PULL} />
        </>
      )}
    </div>
  );
}

const Command = ({ text }: { text: string }) => (
  <p className="command">
    <code>{text}</code>
    <Copy text={text} what="command" />
  </p>
);

function NotAllowed({ why }: { why: "unauthorized" | "forbidden" }) {
  return (
    <div className="empty">
      <h2>You may not read this.</h2>
      <p className="soft">
        {why === "unauthorized"
          ? "The collector answers only those who show a token, which a browser cannot do by itself: open this page through the proxy that knows you."
          : "The collector answers only what comes through the proxy that knows people: open this page there."}
      </p>
    </div>
  );
}
