// Where the page begins.

import { createRoot } from "react-dom/client";
import "./styles/tokens.css";
import "./styles/base.css";
import { App } from "./app/App";
import { store } from "./app/live";
import { wear } from "./app/settings";

wear();
store.start();
createRoot(document.getElementById("app") as HTMLElement).render(<App />);
