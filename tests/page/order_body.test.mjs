// The body that the form sends.
import assert from "node:assert/strict";
import { test } from "node:test";

import { kindProblems, orderBody, quoteParameters } from "../../dexexec/api/page/order_body.js";
import { KINDS } from "../../dexexec/api/page/order_kinds.js";

const kind = (id) => KINDS.find((kind) => kind.id === id);
const body = (id, values) => orderBody(kind(id), new Map(Object.entries(values)));

test("empty fields are left to the service's defaults", () => {
  assert.deepEqual(body("market", { side: "buy", amount: " 0.01 ", slippageBps: "", dryRun: "" }), { side: "buy", amount: "0.01" });
});

test("amounts stay text, and integers become numbers", () => {
  const sent = body("market", { side: "buy", amount: "0.010000000000000001", slippageBps: "50", dryRun: "true" });
  assert.deepEqual(sent, { side: "buy", amount: "0.010000000000000001", slippageBps: 50, dryRun: true });
});

test("what is no number is sent as it was typed, for the service to answer", () => {
  assert.equal(body("market", { side: "buy", amount: "1", slippageBps: "5o" }).slippageBps, "5o");
});

test("fields of another kind are not sent", () => {
  assert.deepEqual(body("market", { side: "buy", amount: "1", trailBps: "300", mint: "x" }), { side: "buy", amount: "1" });
  assert.deepEqual(body("trailing", { side: "buy", amount: "1", trailBps: "300" }), { side: "buy", amount: "1", trailBps: 300 });
});

test("parts of a bracket and conditions are nested", () => {
  assert.deepEqual(body("market", { "bracket.takeProfit.price": "160", "bracket.stop.bps": "300" }), {
    bracket: { takeProfit: { price: "160" }, stop: { bps: 300 } },
  });
  assert.deepEqual(body("sniper", { mint: "m", "conditions.venues": "raydium, meteora,", "conditions.mintAuthorityRevoked": "true" }), {
    type: "sniper", mint: "m", conditions: { mintAuthorityRevoked: true, venues: ["raydium", "meteora"] },
  });
});

test("a stop without its trigger is refused before it is sent, since it would be a market order", () => {
  const missing = (id, values) => kindProblems(kind(id), new Map(Object.entries(values))).map(({ field }) => field);
  assert.deepEqual(missing("stop", { side: "buy", amount: "1" }), ["triggerPrice", "triggerWhen"]);
  assert.deepEqual(missing("stop", { side: "buy", amount: "1", triggerPrice: "140", triggerWhen: " " }), ["triggerWhen"]);
  assert.deepEqual(missing("trailing", { side: "buy", amount: "1" }), ["trailBps"]);
  assert.deepEqual(missing("trailing", { side: "buy", amount: "1", trailBps: "300" }), []);
  assert.deepEqual(missing("market", {}), []);
  for (const { id, type, required } of KINDS) {
    // Of kinds that are sent as the same type, each must have something that no market order has.
    if (id !== type) assert.ok(required.length > 2, id);
  }
});

test("a local time is sent in UTC", () => {
  const sent = body("limit", { expiresAt: "2030-01-31T12:00:00" });
  assert.equal(sent.expiresAt, new Date("2030-01-31T12:00:00").toISOString());
});

test("a share of the balance and a sniper have no quotes", () => {
  assert.deepEqual(quoteParameters({ side: "buy", amount: "2", slippageBps: 50, tag: "x" }), { side: "buy", amount: "2", slippageBps: "50" });
  assert.equal(quoteParameters({ side: "buy", amount: "all" }), null);
  assert.equal(quoteParameters({ side: "buy", amount: "50%" }), null);
  assert.equal(quoteParameters({ type: "sniper", amount: "1" }), null);
  assert.equal(quoteParameters({ side: "buy" }), null);
});
