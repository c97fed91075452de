// An order's attempts: every signed transaction, what became of it, and the proof.

import { copyButton } from "./copying.js";
import { el, scrolled } from "./dom.js";
import { clock, duration, grouped } from "./format.js";

const OUTCOMES = /** @type {Record<string, string>} */ ({ landed: "confirmed", failed: "failed", rejected: "failed", open: "submitted", expired: "expired" });

/**
 * @param {any[]} attempts
 * @param {string | null} explorer The address of a transaction, with `{signature}` in it; null where none is public.
 * @returns {HTMLElement}
 */
export function attemptsTable(attempts, explorer) {
  const head = ["Attempt", "Venue", "Transaction", "Outcome", "Proof"].map((name) => el("th", { scope: "col" }, name));
  return scrolled("Attempts", el("table", { class: "data", "aria-label": "Attempts" },
    el("thead", null, el("tr", null, head)),
    el("tbody", null, attempts.map((attempt) => el("tr", null,
      el("td", null, attempt.attempt, " ", el("span", { class: "muted" }, clock(attempt.at, { milliseconds: true }))),
      el("td", null, attempt.venue),
      el("td", { class: "wrap signature" }, signature(attempt, explorer)),
      el("td", null, el("span", { class: "chip", data: { status: OUTCOMES[attempt.outcome] ?? "" } }, attempt.outcome)),
      el("td", { class: "wrap" }, proof(attempt)),
    ))),
  ));
}

/**
 * @param {any} attempt
 * @param {string | null} explorer
 */
function signature(attempt, explorer) {
  const hash = attempt.txHash;
  if (!hash) return "–";
  const text = el("span", { class: "mono" }, hash);
  const address = isOnChain(attempt) ? explorer?.replace("{signature}", encodeURIComponent(hash)) : null;
  const shown = address?.startsWith("https://")
    ? el("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, text, el("span", { class: "visually-hidden" }, " (in the explorer, a new tab)"))
    : text;
  return [shown, " ", copyButton(hash, `the signature of attempt ${attempt.attempt}`)];
}

/**
 * Whether an explorer can have the transaction. Of one that was never sent, or that expired, it would only state that it
 * finds nothing.
 * @param {any} attempt
 */
export function isOnChain({ outcome, proof, endpoints }) {
  if (outcome !== "open") return outcome === "landed" || outcome === "failed";
  return proof?.slot !== undefined || Boolean(endpoints?.some((/** @type {any} */ endpoint) => endpoint.sends > 0));
}

/** @param {any} attempt */
function proof(attempt) {
  const { proof, resolvedAt, at, endpoints } = attempt;
  const parts = [];
  if (proof?.slot !== undefined) parts.push(`seen in slot ${grouped(String(proof.slot))}${proof.finalized ? ", final" : ""}`);
  if (proof?.height !== undefined) parts.push(`the chain is at height ${grouped(String(proof.height))}`);
  if (typeof proof?.error === "string") parts.push(proof.error);
  if (resolvedAt) parts.push(`proven after ${duration(Date.parse(resolvedAt) - Date.parse(at))}`);
  else parts.push(`valid until height ${grouped(String(attempt.lastValidHeight ?? "–"))}`);
  for (const endpoint of endpoints ?? []) {
    const landed = endpoint.landingSlots === undefined || endpoint.landingSlots === null ? "" : `, landed ${endpoint.landingSlots} slots later`;
    parts.push(`${endpoint.endpoint}: ${endpoint.sends} sends, ${endpoint.answer ?? "no answer"}${landed}`);
  }
  return parts.join("; ");
}
