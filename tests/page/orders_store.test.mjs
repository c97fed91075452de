// The orders that the page keeps: lists and events in any order give the same state.
import assert from "node:assert/strict";
import { test } from "node:test";

import { KEPT, OrdersStore, mayBeCancelled } from "../../dexexec/api/page/orders_store.js";

const ID = "01a22ae4-1407-7e31-9563-14e33435cdf6";
const at = (seq) => `2026-01-31T12:00:0${seq}.000Z`;
const event = (seq, status, more = {}) => ({ orderId: ID, seq, status, at: at(seq), final: false, ...more });
const LIFE = [
  event(1, "pending", { side: "buy", amount: "0.01", tag: "desk" }),
  event(2, "routing", { quotes: [] }),
  event(3, "building", { venue: "raydium" }),
  event(4, "submitted", { txHash: "5nYe", attempt: 1 }),
  event(5, "confirmed", { final: true, amountOut: "1492438" }),
];
const LISTED = { orderId: ID, seq: 4, status: "submitted", side: "buy", amount: "0.01", slippageBps: 50, createdAt: at(1), finishedAt: null };

test("events build the whole order", () => {
  const store = new OrdersStore();
  for (const event of LIFE) assert.equal(store.apply(event), true);
  const order = store.get(ID);
  assert.equal(order.status, "confirmed");
  assert.equal(order.side, "buy");
  assert.equal(order.type, "market");
  assert.equal(order.createdAt, at(1));
  assert.equal(order.finishedAt, at(5));
});

test("an event that comes again after a resume changes nothing", () => {
  const store = new OrdersStore();
  for (const event of LIFE) store.apply(event);
  const { version } = store;
  for (const event of LIFE) assert.equal(store.apply(event), false);
  assert.equal(store.version, version);
  assert.equal(store.get(ID).status, "confirmed");
});

test("a list that is older than the events adds what they do not have, and takes nothing back", () => {
  const store = new OrdersStore();
  store.apply(LIFE[4]);
  store.merge([LISTED]);
  const order = store.get(ID);
  assert.equal(order.status, "confirmed");
  assert.equal(order.seq, 5);
  assert.equal(order.amount, "0.01");
  assert.equal(order.finishedAt, at(5));
});

test("a list that is newer than the events wins", () => {
  const store = new OrdersStore();
  store.apply(LIFE[0]);
  store.merge([LISTED]);
  assert.equal(store.get(ID).status, "submitted");
  store.apply(LIFE[2]);
  assert.equal(store.get(ID).status, "submitted");
});

test("a swap that the chain took back is not ended any more", () => {
  const store = new OrdersStore();
  for (const event of LIFE.slice(0, 4)) store.apply(event);
  store.apply(event(5, "confirmed", { finalized: false }));
  store.apply(event(6, "submitted", { reason: "un-confirmed" }));
  assert.equal(store.get(ID).status, "submitted");
  assert.equal(store.get(ID).finishedAt, undefined);
});

test("only the newest orders are kept, newest first", () => {
  const store = new OrdersStore();
  const id = (number) => `01a22ae4-1407-7e31-9563-${String(number).padStart(12, "0")}`;
  const numbers = Array.from({ length: KEPT + 100 }, (_, number) => (number * 7919) % (KEPT + 100));
  for (const number of numbers) store.apply({ ...LIFE[0], orderId: id(number) });
  assert.equal(store.newest().length, KEPT);
  assert.equal(store.newest()[0], id(KEPT + 99));
  assert.equal(store.newest().at(-1), id(100));
  assert.equal(store.get(id(99)), undefined);
  assert.deepEqual([...store.newest()], [...store.newest()].sort().reverse());
});

test("an order can be cancelled until something is signed for it", () => {
  const can = (status) => mayBeCancelled({ orderId: ID, seq: 1, status });
  assert.deepEqual(["pending", "waiting", "routing", "building", "submitted", "confirmed", "failed", "cancelled"].map(can), [
    true, true, true, true, false, false, false, false,
  ]);
});

test("a change of an order that rests is in its row", () => {
  const store = new OrdersStore();
  store.apply(event(1, "pending", { side: "buy", amount: "0.01", limitPrice: "150" }));
  store.apply(event(2, "waiting", { waitsFor: "price" }));
  store.apply(event(3, "waiting", { waitsFor: "price", amended: { limitPrice: { from: "150", to: "151" }, amount: { from: "0.01", to: "0.02" } } }));
  assert.deepEqual([store.get(ID).limitPrice, store.get(ID).amount, store.get(ID).amended], ["151", "0.02", undefined]);
});
