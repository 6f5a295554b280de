// The view of workloads.

export function Workloads() {
  return <p className="soft">Workloads</p>;
}
