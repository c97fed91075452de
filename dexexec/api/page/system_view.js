// Charts, health and wallets.

import * as charts from "./charts.js";
import { el } from "./dom.js";
import * as health from "./health_view.js";
import * as wallets from "./wallets_view.js";

/** @type {import("./types.js").Mount} */
export function mount(container, context) {
  const parts = [charts, health, wallets].map((part) => {
    const section = el("div", { class: "system-part" });
    container.append(section);
    return part.mount(section, context);
  });
  return {
    update: () => parts.forEach((part) => part.update()),
    unmount: () => parts.forEach((part) => part.unmount()),
  };
}
