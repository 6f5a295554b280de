// What the widget's address says: `/embed/pod/{namespace}/{pod}` below any path, and `?theme=dark` or `light` where the page around it knows better
// than the system.

export interface Wanted {
  pod: { namespace: string; name: string } | undefined;
  theme: "light" | "dark" | undefined;
}

export function podOf(path: string, search: string): Wanted {
  const asked = new URLSearchParams(search).get("theme");
  const theme = asked === "light" || asked === "dark" ? asked : undefined;
  const [, namespace, name] = /\/embed\/pod\/([^/]+)\/([^/]+)\/?$/.exec(path) ?? [];
  try {
    return { pod: namespace && name ? { namespace: decodeURIComponent(namespace), name: decodeURIComponent(name) } : undefined, theme };
  } catch {
    // Not an encoding of any text.
    return { pod: undefined, theme };
  }
}
