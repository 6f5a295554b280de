// The view of nodes: agents, what they watch, when they were heard last, and what their nodes pull and wait for.

import { useAsked } from "../../app/asked";
import { go, usePlace } from "../../app/here";
import { useLive } from "../../app/live";
import { loads } from "../../core/host";
import type { NodeStatus } from "../../core/types";
import { count, speed } from "../../core/words";
import { List } from "../list/List";
import { Unknown } from "../list/Unknown";
import { columns, type NodeRow, said, sorts } from "./columns";
import { Node } from "./Node";

/** The nodes change slowly; what they pull comes with the stream. */
const EVERY = 3_000;

export function Nodes() {
  const { node } = usePlace();
  const { pulls } = useLive();
  const { answer, problem } = useAsked<{ nodes: NodeStatus[] }>("api/v1/nodes", EVERY);
  const byNode = loads(pulls, (pull) => pull.nodeName);
  const rows = answer?.nodes.map((of): NodeRow => ({ node: of, load: byNode.get(of.name) }));
  const away = rows?.filter((row) => !row.node.connected).length ?? 0;
  const rate = rows?.reduce((sum, row) => sum + (row.load?.bytesPerSec ?? 0), 0) ?? 0;
  const queued = rows?.reduce((sum, row) => sum + (row.node.queuedImages?.length ?? 0), 0) ?? 0;
  return (
    <List
      one="node"
      many="nodes"
      rows={rows}
      columns={columns}
      keyOf={(row) => row.node.name}
      said={said}
      sorts={sorts}
      usual="need"
      open={node}
      onOpen={(row) => go({ node: row.node.name === node ? undefined : row.node.name })}
      foot={rows && rows.length > 0 && [`${count(rows.length - away, "agent")} connected${away > 0 ? `, ${away} away` : ""}`, queued > 0 && `${count(queued, "image")} queued`, rate > 0 && speed(rate)].filter(Boolean).join(" · ")}
      empty={
        <Unknown problem={problem} isKnown={answer !== undefined}>
          <h2>No agent is known.</h2>
          <p className="soft">
            Agents run on every node and send to this collector. See whether they are there with <code>kubectl get pods -l app.kubernetes.io/name=pulltrace -A</code>, and what they say
            in their logs.
          </p>
        </Unknown>
      }
      side={node && <Node key={node} name={node} status={answer?.nodes.find((of) => of.name === node)} load={byNode.get(node)} isKnown={answer !== undefined} />}
    />
  );
}
