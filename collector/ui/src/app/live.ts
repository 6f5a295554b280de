// The one store of this tab, for components: a component that calls `useLive` is drawn again whenever anything changed, at most once a frame.

import { useSyncExternalStore } from "react";
import { Store } from "../live/store";

export const store = new Store();

export function useLive(): Store {
  useSyncExternalStore(store.subscribe, () => store.version);
  return store;
}
