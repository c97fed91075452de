// How far each venue's quotes were behind the best over time: of every order's round that the page hears of, and of
// quotes that it requests. Pure.

import { compared } from "./quote_comparison.js";

/** How many rounds are kept. */
export const KEPT_ROUNDS = 600;

export class PriceHistory {
  constructor() {
    /** The oldest first. @type {{key: string, at: number, behind: Map<string, number>}[]} */
    this._rounds = [];
    /** @type {Set<string>} */
    this._keys = new Set();
    /** Whether rounds of before this page were added. */
    this.isSeeded = false;
  }

  /**
   * Takes the quotes of one round. A round that is known counts once, and one without two quotes compares nothing.
   * @param {string} key Names the round.
   * @param {number} at Milliseconds of Unix time.
   * @param {import("./quote_comparison.js").VenueQuote[]} quotes
   * @param {boolean} exactIn
   */
  add(key, at, quotes, exactIn) {
    if (this._keys.has(key)) return;
    /** @type {[string, number][]} */
    const behind = compared(quotes, exactIn).flatMap(({ quote, behindBps }) => (behindBps === null ? [] : [[quote.venue, behindBps]]));
    if (behind.length < 2) return;
    this._keys.add(key);
    let place = this._rounds.length;
    while (place > 0 && /** @type {{at: number}} */ (this._rounds[place - 1]).at > at) place -= 1;
    this._rounds.splice(place, 0, { key, at, behind: new Map(behind) });
    if (this._rounds.length > KEPT_ROUNDS) this._keys.delete(/** @type {{key: string}} */ (this._rounds.shift()).key);
  }

  /**
   * The quotes of an event, if it has some.
   * @param {Record<string, any>} event
   * @param {string | undefined} mode Of its order.
   */
  addEvent(event, mode) {
    if (!Array.isArray(event["quotes"])) return;
    this.add(`${event["orderId"]} ${event["seq"]}`, Date.parse(event["at"]), event["quotes"], mode !== "exactOut");
  }

  clear() {
    this._rounds = [];
    this._keys.clear();
    this.isSeeded = false;
  }

  /**
   * The venues in order of their names, the times (seconds of Unix time) since `sinceMs`, and for each venue how far it
   * was behind in bps: null where it had no quote. Orders of both sides and of all sizes alternate, so of the rounds
   * within `spanMs` it is the median, at the time of the newest.
   * @param {number} sinceMs
   * @param {number} spanMs
   */
  columns(sinceMs, spanMs) {
    /** @type {{at: number, rounds: Map<string, number>[]}[]} */
    const spans = [];
    for (const { at, behind } of this._rounds) {
      if (at < sinceMs) continue;
      const before = spans.at(-1);
      if (before && Math.floor(before.at / spanMs) === Math.floor(at / spanMs)) {
        before.at = at;
        before.rounds.push(behind);
      } else spans.push({ at, rounds: [behind] });
    }
    const venues = [...new Set(spans.flatMap(({ rounds }) => rounds.flatMap((behind) => [...behind.keys()])))].sort();
    return {
      venues,
      at: spans.map(({ at }) => at / 1000),
      behind: venues.map((venue) => spans.map(({ rounds }) => median(rounds.map((behind) => behind.get(venue))))),
    };
  }
}

/** @param {(number | undefined)[]} values */
function median(values) {
  const sorted = values.filter((value) => value !== undefined).toSorted((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? null;
}
