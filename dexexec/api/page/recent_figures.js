// Figures of the last minutes, computed of the events that the page receives. Pure: the clock is given.

/** @typedef {import("./types.js").OrderEvent} OrderEvent */

/** Seconds of a bucket, and how many are kept. */
export const BUCKET_SECONDS = 5;
export const BUCKETS = 180;

const LOST = new Set(["failed", "expired"]);

/**
 * @typedef {object} Bucket
 * @property {number} accepted
 * @property {number} confirmed
 * @property {number} lost Orders that ended without a fill: failed or expired.
 * @property {number[]} tookMs From acceptance to the first confirmation.
 */

export class RecentFigures {
  constructor() {
    /** @type {Map<number, Bucket>} By the number of the bucket since 1970. */
    this._buckets = new Map();
    /** When each order was accepted, and whether its end was counted. @type {Map<string, {at: number, ended: boolean}>} */
    this._orders = new Map();
  }

  /**
   * An order of a list: its beginning and its end, if it has ended.
   * @param {Record<string, any>} order
   */
  addOrder(order) {
    if (!order["createdAt"] || this._orders.has(order["orderId"])) return;
    this._accept(order["orderId"], Date.parse(order["createdAt"]));
    if (order["finishedAt"]) this._end(order["orderId"], order["status"], Date.parse(order["finishedAt"]));
  }

  /** @param {OrderEvent} event */
  addEvent(event) {
    const at = Date.parse(event.at);
    if (event.seq === 1) this._accept(event.orderId, at);
    // It rests until its trigger: how long it takes counts from there.
    if (event.status === "waiting" && event["triggered"]) this._orders.set(event.orderId, { at, ended: false });
    this._end(event.orderId, event.status, at);
  }

  /**
   * Columns for charts: times (seconds of Unix time), orders accepted and confirmed a second, latencies in ms, and the
   * share of orders that were filled in percent. A bucket without a value has null.
   * @param {number} nowMs
   */
  columns(nowMs) {
    const last = Math.floor(nowMs / 1000 / BUCKET_SECONDS);
    const numbers = Array.from({ length: BUCKETS }, (_, index) => last - BUCKETS + 1 + index);
    for (const number of this._buckets.keys()) if (number < last - BUCKETS) this._buckets.delete(number);
    const buckets = numbers.map((number) => this._buckets.get(number));
    const sorted = buckets.map((bucket) => bucket?.tookMs.toSorted((a, b) => a - b) ?? []);
    return {
      at: numbers.map((number) => number * BUCKET_SECONDS),
      accepted: buckets.map((bucket) => (bucket?.accepted ?? 0) / BUCKET_SECONDS),
      confirmed: buckets.map((bucket) => (bucket?.confirmed ?? 0) / BUCKET_SECONDS),
      p50: sorted.map((times) => percentile(times, 0.5)),
      p90: sorted.map((times) => percentile(times, 0.9)),
      p99: sorted.map((times) => percentile(times, 0.99)),
      filled: buckets.map((bucket) => (bucket && bucket.confirmed + bucket.lost ? (100 * bucket.confirmed) / (bucket.confirmed + bucket.lost) : null)),
    };
  }

  /**
   * @param {string} id
   * @param {number} at
   */
  _accept(id, at) {
    if (this._orders.has(id)) return;
    this._orders.set(id, { at, ended: false });
    // The oldest are the first in a Map: an order that rests for long has no latency here.
    if (this._orders.size > 20_000) this._orders.delete(/** @type {string} */ (this._orders.keys().next().value));
    this._bucket(at).accepted += 1;
  }

  /**
   * @param {string} id
   * @param {string} status
   * @param {number} at
   */
  _end(id, status, at) {
    const order = this._orders.get(id);
    if (order?.ended || !(status === "confirmed" || LOST.has(status))) return;
    if (status !== "confirmed") this._bucket(at).lost += 1;
    else {
      this._bucket(at).confirmed += 1;
      if (order) this._bucket(at).tookMs.push(at - order.at);
    }
    this._orders.set(id, { at: order?.at ?? at, ended: true });
  }

  /**
   * @param {number} at
   * @returns {Bucket}
   */
  _bucket(at) {
    const number = Math.floor(at / 1000 / BUCKET_SECONDS);
    let bucket = this._buckets.get(number);
    if (!bucket) this._buckets.set(number, (bucket = { accepted: 0, confirmed: 0, lost: 0, tookMs: [] }));
    return bucket;
  }
}

/**
 * The value that this share of the values is not above; null without a value.
 * @param {number[]} sorted
 * @param {number} share From 0 to 1.
 */
export function percentile(sorted, share) {
  return sorted.length === 0 ? null : /** @type {number} */ (sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]);
}
