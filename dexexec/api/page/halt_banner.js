// Shows that signing is halted, above every view.

import { el, fill } from "./dom.js";
import { clock } from "./format.js";

let shown = "";

/**
 * @param {HTMLElement} banner
 * @param {any[]} halts As the overview lists them.
 */
export function draw(banner, halts) {
  const now = JSON.stringify(halts);
  if (now === shown) return; // it is an alert: unchanged text must not be read out again
  shown = now;
  banner.hidden = halts.length === 0;
  fill(banner, halts.map((halt) => el("p", null, el("strong", null, "Signing is halted"), ` ${sentence(halt)}`)));
}

/** @param {any} halt */
function sentence(halt) {
  const whose = halt.key ? `for the key ${halt.key}` : "for everybody";
  const since = halt.since ?? halt.at ?? halt.createdAt;
  const why = halt.reason ? `: ${halt.reason}` : "";
  return `${whose}${since ? ` since ${clock(since)}` : ""}${why}. New orders are refused; cancels and dry runs go on.`;
}
