// Changes of orders that rest.
import assert from "node:assert/strict";
import { test } from "node:test";

import { changeBody, changedFields, valueOf } from "../../dexexec/api/page/order_change.js";

const LIMIT = { type: "limit", limitPrice: "150", amount: "0.5", timeInForce: "GTC" };
const SNIPER = { type: "sniper", amount: "1", conditions: { minLiquidity: "20", mintAuthorityRevoked: true, venues: ["a", "b"] } };
const body = (order, values) => changeBody(order, new Map(Object.entries(values)));

test("the fields are those that the order has, and those that any order of its kind may have", () => {
  assert.deepEqual(changedFields(LIMIT), ["limitPrice", "amount", "expiresAt"]);
  assert.deepEqual(changedFields({ type: "market", trailBps: 300, amount: "1" }), ["trailBps", "amount", "expiresAt"]);
  assert.deepEqual(changedFields({ type: "recurring", amount: "1" }), ["minPrice", "maxPrice", "expiresAt"]);
  assert.deepEqual(changedFields({ type: "market", amount: "1" }), [], "it does not rest");
});

test("only what differs is sent", () => {
  assert.deepEqual(body(LIMIT, {}), {});
  assert.deepEqual(body(LIMIT, { limitPrice: "150", amount: " 0.6 " }), { amount: "0.6" });
  assert.deepEqual(body({ type: "market", trailBps: 300, amount: "1" }, { trailBps: "400" }), { trailBps: 400 });
});

test("an empty field takes away what may be taken away, and is refused by the service otherwise", () => {
  const order = { ...LIMIT, expiresAt: "2026-01-31T12:00:00.000Z" };
  assert.deepEqual(body(order, { expiresAt: "" }), { expiresAt: null });
  assert.deepEqual(body(order, { limitPrice: "" }), { limitPrice: "" });
});

test("a time is shown as a local one, and sent in UTC", () => {
  const order = { ...LIMIT, expiresAt: "2026-01-31T12:00:00.000Z" };
  const shown = valueOf(order, "expiresAt");
  assert.equal(new Date(shown).getTime(), Date.parse(order.expiresAt));
  assert.deepEqual(body(order, { expiresAt: shown }), {});
  assert.deepEqual(body(order, { expiresAt: shown.replace(/:\d\d$/, ":30") }), { expiresAt: "2026-01-31T12:00:30.000Z" });
});

test("conditions are replaced as a whole", () => {
  assert.deepEqual(body(SNIPER, { amount: "2" }), { amount: "2" });
  assert.deepEqual(body(SNIPER, { "conditions.minLiquidity": "30" }), { conditions: { minLiquidity: "30", venues: ["a", "b"], mintAuthorityRevoked: true } });
  assert.deepEqual(body(SNIPER, { "conditions.mintAuthorityRevoked": "", "conditions.minLiquidity": "" }), { conditions: { venues: ["a", "b"] } });
});
