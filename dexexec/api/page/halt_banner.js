// Shows that signing is halted, above every view.

import { el, fill } from "./dom.js";
import { dateTime } from "./format.js";

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

/** @param {{key: string | null, since?: string, reason?: string}} halt `key`: null for everybody. */
export function sentence({ key, reason, since }) {
  const when = since ? ` since ${dateTime(since)}` : "";
  const why = reason ? `: ${reason}` : "";
  return `for ${key ? `the key ${key}` : "everybody"}${when}${why}. New orders are refused; cancels and dry runs go on.`;
}
