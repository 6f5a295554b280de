// Where the widget begins: one pod, for other people's pages. See `docs/ui.md`.

import { createRoot } from "react-dom/client";
import "../styles/tokens.css";
import "../styles/base.css";
import { wear } from "../app/settings";

wear();
createRoot(document.getElementById("app") as HTMLElement).render(<p>One pod</p>);
