// The view of nodes.

export function Nodes() {
  return <p className="soft">Nodes</p>;
}
