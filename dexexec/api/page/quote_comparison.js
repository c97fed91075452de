// Compares the quotes of one round. Pure.

import { bps } from "./format.js";

/** A venue's quote as the API answers it. @typedef {{venue: string, selected: boolean} & Record<string, any>} VenueQuote */

/**
 * The quotes, each with how far it is behind the best, net of fees; null where that is not known.
 * @param {VenueQuote[]} quotes
 * @param {boolean} exactIn Whether the amount that is spent is fixed: then more is better, else less.
 * @returns {{quote: VenueQuote, behindBps: number | null}[]}
 */
export function compared(quotes, exactIn) {
  const best = quotes.find((quote) => quote.selected);
  return quotes.map((quote) => {
    if (best?.["net"] === undefined || quote["net"] === undefined || BigInt(best["net"]) <= 0n) return { quote, behindBps: null };
    const gap = exactIn ? BigInt(best["net"]) - BigInt(quote["net"]) : BigInt(quote["net"]) - BigInt(best["net"]);
    return { quote, behindBps: Number((gap * 1_000_000n) / BigInt(best["net"])) / 100 };
  });
}

/**
 * Who wins and by how much, as a sentence.
 * @param {{best: string | null, aheadBps: string | null, venues: VenueQuote[]}} size
 */
export function aheadOf({ best, aheadBps, venues }) {
  if (best === null) return "No venue has a quote that an order would use.";
  if (aheadBps === null) return `${best} is the only one that an order would use${venues.length > 1 ? "" : " here"}.`;
  return `${best} wins by ${bps(aheadBps)}.`;
}
