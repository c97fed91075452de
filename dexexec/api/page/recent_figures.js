// Figures of the last minutes, computed of the events that the page receives. Pure: the clock is given.

/** @typedef {import("./types.js").OrderEvent} OrderEvent */

/** Seconds of a bucket, and how many are kept. */
export const BUCKET_SECONDS = 5;
export const BUCKETS = 180;

/** Statuses of an order whose attempt will not land: it is tried again, or has ended. */
const NOT_LANDED = new Set(["routing", "building", "waiting", "failed", "expired"]);

/**
 * @typedef {object} Bucket
 * @property {number} accepted
 * @property {number} confirmed
 * @property {number} notLanded Transactions that failed on the chain, or that can never land.
 * @property {number[]} tookMs From acceptance to the first confirmation.
 */

export class RecentFigures {
  constructor() {
    /** @type {Map<number, Bucket>} By the number of the bucket since 1970. */
    this._buckets = new Map();
    /** When each order was accepted, its status, and whether its fill was counted. @type {Map<string, {at: number, status: string, filled: boolean}>} */
    this._orders = new Map();
  }

  /**
   * An order of a list: its beginning, its attempts, and its end if it has ended.
   * @param {Record<string, any>} order
   */
  addOrder(order) {
    if (!order["createdAt"] || this._orders.has(order["orderId"])) return;
    const at = Date.parse(order["createdAt"]);
    const filled = order["status"] === "confirmed";
    const known = this._accept(order["orderId"], at);
    known.status = order["status"];
    if (!order["finishedAt"]) return;
    const bucket = this._bucket(Date.parse(order["finishedAt"]));
    bucket.notLanded += Math.max(0, (order["attemptCount"] ?? 0) - (filled ? 1 : 0));
    if (filled) this._fill(known, Date.parse(order["finishedAt"]));
  }

  /** @param {OrderEvent} event */
  addEvent(event) {
    const at = Date.parse(event.at);
    const order = this._orders.get(event.orderId) ?? (event.seq === 1 ? this._accept(event.orderId, at) : null);
    if (!order) return;
    // It rests until its trigger: how long it takes counts from there.
    if (event.status === "waiting" && event["triggered"]) order.at = at;
    if (order.status === "submitted" && NOT_LANDED.has(event.status)) this._bucket(at).notLanded += 1;
    if (event.status === "confirmed" && !order.filled) this._fill(order, at);
    order.status = event.status;
  }

  /**
   * Columns for charts: times (seconds of Unix time), orders accepted and confirmed a second, latencies in ms, and the
   * share of transactions that landed, in percent. A bucket without a value has null.
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
      landed: buckets.map((bucket) => (bucket && bucket.confirmed + bucket.notLanded ? (100 * bucket.confirmed) / (bucket.confirmed + bucket.notLanded) : null)),
    };
  }

  /**
   * @param {string} id
   * @param {number} at
   */
  _accept(id, at) {
    const order = { at, status: "pending", filled: false };
    this._orders.set(id, order);
    // The oldest are the first in a Map: an order that rests for long has no latency here.
    if (this._orders.size > 20_000) this._orders.delete(/** @type {string} */ (this._orders.keys().next().value));
    this._bucket(at).accepted += 1;
    return order;
  }

  /**
   * @param {{at: number, filled: boolean}} order
   * @param {number} at
   */
  _fill(order, at) {
    order.filled = true;
    const bucket = this._bucket(at);
    bucket.confirmed += 1;
    bucket.tookMs.push(at - order.at);
  }

  /**
   * @param {number} at
   * @returns {Bucket}
   */
  _bucket(at) {
    const number = Math.floor(at / 1000 / BUCKET_SECONDS);
    let bucket = this._buckets.get(number);
    if (!bucket) this._buckets.set(number, (bucket = { accepted: 0, confirmed: 0, notLanded: 0, tookMs: [] }));
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
