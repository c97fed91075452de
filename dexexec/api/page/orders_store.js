// The newest orders, built of lists and of events. Pure: no document, no clock, no I/O.

/** @typedef {import("./types.js").Order} Order */
/** @typedef {import("./types.js").OrderEvent} OrderEvent */

/** How many orders the page keeps. The list has all, page by page. */
export const KEPT = 500;

const ENDED = new Set(["failed", "expired", "cancelled", "simulated"]);
// Of an event, what describes the event and not the order.
const OF_THE_EVENT = new Set(["at", "final", "quotes", "retryInMs", "detail", "requestId", "cost", "slot", "amended", "waitsFor", "transaction"]);

export class OrdersStore {
  constructor() {
    /** @type {Map<string, Order>} */
    this._orders = new Map();
    /** @type {string[]} Ids, newest first. Version 7 UUIDs sort by the time of their creation. */
    this._newest = [];
    /** Counts changes: a view that has drawn this version has nothing to do. */
    this.version = 0;
  }

  /** @param {string} id */
  get(id) {
    return this._orders.get(id);
  }

  /** @returns {readonly string[]} The ids, newest first. */
  newest() {
    return this._newest;
  }

  /**
   * Takes an event. False if it is not new: after a resume some events come a second time.
   * @param {OrderEvent} event
   */
  apply(event) {
    const before = this._orders.get(event.orderId);
    if (before && before.seq >= event.seq) return false;
    const order = before ?? this._insert(event.orderId);
    if (!order) return false;
    for (const [name, value] of Object.entries(event)) if (!OF_THE_EVENT.has(name)) order[name] = value;
    for (const [name, change] of Object.entries(event.amended ?? {})) order[name] = change.to;
    if (event.seq === 1) order.createdAt = event.at;
    order.type ??= event.seq === 1 ? "market" : undefined;
    order.updatedAt = event.at;
    order.final = event.final;
    if (event.status === "confirmed" || ENDED.has(event.status)) order.finishedAt ??= event.at;
    if (event.status === "submitted" || event.status === "routing") order.finishedAt = undefined;
    if (ENDED.has(event.status)) order.failureReason = event.reason ?? null;
    order.reason = event.reason;
    order.detail = event.detail;
    this.version += 1;
    return true;
  }

  /**
   * Takes orders as a list returns them. An order of which a newer event is here keeps its state.
   * @param {Order[]} listed
   */
  merge(listed) {
    for (const read of listed) {
      const order = this._orders.get(read.orderId) ?? this._insert(read.orderId);
      if (!order) continue;
      if (order.seq > read.seq) {
        for (const [name, value] of Object.entries(read)) if (order[name] === undefined) order[name] = value;
      } else {
        Object.assign(order, read);
      }
    }
    this.version += 1;
  }

  /** Forgets everything: the record is another one now, or the key is. */
  clear() {
    this._orders.clear();
    this._newest = [];
    this.version += 1;
  }

  /**
   * @param {string} id
   * @returns {Order | null} null if it is older than every order that is kept.
   */
  _insert(id) {
    let place = this._newest.findIndex((other) => other < id);
    if (place < 0) place = this._newest.length;
    if (place >= KEPT) return null;
    /** @type {Order} */
    const order = { orderId: id, status: "pending", seq: 0 };
    this._orders.set(id, order);
    this._newest.splice(place, 0, id);
    if (this._newest.length > KEPT) this._orders.delete(/** @type {string} */ (this._newest.pop()));
    return order;
  }
}

/**
 * Whether a cancel of the order can succeed: nothing is signed for it, and it has not ended.
 * @param {Order} order
 */
export function mayBeCancelled(order) {
  return ["pending", "waiting", "routing", "building"].includes(order.status);
}
