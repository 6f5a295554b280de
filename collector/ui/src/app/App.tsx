// The frame of the page: header, the banner that tells when it is not live, and one view.

import { useEffect } from "react";
import type { View } from "../core/place";
import { Images } from "../views/images/Images";
import { Nodes } from "../views/nodes/Nodes";
import { Pulls } from "../views/pulls/Pulls";
import { Workloads } from "../views/workloads/Workloads";
import { Alarm } from "./Alarm";
import { Banner } from "./Banner";
import { Header } from "./Header";
import { usePlace } from "./here";
import { Keys } from "./Keys";
import "./app.css";

const SHOWN: Record<View, () => React.ReactNode> = { pulls: Pulls, workloads: Workloads, nodes: Nodes, images: Images };

export function App() {
  const { view } = usePlace();
  const Shown = SHOWN[view];
  useEffect(() => {
    document.title = view === "pulls" ? "Pulltrace" : `${view[0]?.toUpperCase()}${view.slice(1)} · Pulltrace`;
  }, [view]);
  return (
    <>
      <a className="skip" href="#main">
        Skip to the list
      </a>
      <Header />
      <Banner />
      <main id="main" tabIndex={-1}>
        <Shown />
      </main>
      <Alarm />
      <Keys />
    </>
  );
}
