export function Waterfall(_: { pull: unknown }) {
  return null;
}
