// Where the widget begins: one pod, for other people's pages. It shows and changes nothing, and asks for this pod alone. See `docs/ui.md`.

import { createRoot } from "react-dom/client";
import "../styles/tokens.css";
import "../styles/base.css";
import { wear } from "../app/settings";
import { podOf } from "./address";
import { Widget } from "./Widget";

wear();
const { pod, theme } = podOf(location.pathname, location.search);
if (theme) document.documentElement.dataset["theme"] = theme;
createRoot(document.getElementById("app") as HTMLElement).render(<Widget pod={pod} />);
