// How far venues were behind the best, of orders' events and of samples.
import assert from "node:assert/strict";
import { test } from "node:test";

import { KEPT_ROUNDS, PriceHistory } from "../../dexexec/api/page/price_history.js";

const quotes = (nets, best) => Object.entries(nets).map(([venue, net]) => ({ venue, net, selected: venue === best }));
const routing = (orderId, seq, ms, nets, best) => ({ orderId, seq, status: "routing", at: new Date(ms).toISOString(), final: false, quotes: quotes(nets, best) });

test("each round has its venues' distance from the best, in order of time", () => {
  const history = new PriceHistory();
  history.addEvent(routing("b", 2, 5_000, { alpha: "9990", beta: "10000" }, "beta"), "exactIn");
  history.addEvent(routing("a", 2, 3_000, { alpha: "10000", gamma: "9000" }, "alpha"), "exactIn");
  assert.deepEqual(history.columns(0, 1_000), {
    venues: ["alpha", "beta", "gamma"],
    at: [3, 5],
    behind: [[0, 10], [null, 0], [1000, null]],
  });
  assert.deepEqual(history.columns(4_000, 1_000).at, [5]);
});

test("of an amount that is received the cheapest is the best", () => {
  const history = new PriceHistory();
  history.addEvent(routing("a", 2, 1_000, { alpha: "10000", beta: "10010" }, "alpha"), "exactOut");
  assert.deepEqual(history.columns(0, 1_000).behind, [[0], [10]]);
});

test("an event that comes twice counts once, and one without quotes does not", () => {
  const history = new PriceHistory();
  const event = routing("a", 2, 1_000, { alpha: "10000", beta: "9990" }, "alpha");
  history.addEvent(event, "exactIn");
  history.addEvent(event, "exactIn");
  history.addEvent({ orderId: "a", seq: 3, status: "building", at: new Date(2_000).toISOString(), final: false }, "exactIn");
  assert.equal(history.columns(0, 1_000).at.length, 1);
});

test("a round without a best, or with a lone quote, compares nothing", () => {
  const history = new PriceHistory();
  history.addEvent(routing("a", 2, 1_000, { alpha: "10000" }, "alpha"), "exactIn");
  history.addEvent(routing("b", 2, 1_000, { alpha: "10000", beta: "9990" }, "none"), "exactIn");
  history.add("c", 1_000, [{ venue: "alpha", selected: true, net: "5" }, { venue: "beta", selected: false, reason: "unreachable" }], true);
  assert.deepEqual(history.columns(0, 1_000).venues, []);
});

test("the oldest rounds leave, and may come again", () => {
  const history = new PriceHistory();
  for (let n = 0; n <= KEPT_ROUNDS; n += 1) history.add(`${n}`, n * 1000, quotes({ alpha: "10", beta: "9" }, "alpha"), true);
  assert.equal(history.columns(0, 1_000).at.length, KEPT_ROUNDS);
  assert.equal(history.columns(0, 1_000).at[0], 1);
  history.clear();
  assert.deepEqual(history.columns(0, 1_000).venues, []);
});

test("of the rounds within a span the median counts, at the time of the newest", () => {
  const history = new PriceHistory();
  [9_990, 9_000, 9_980].forEach((net, n) => history.add(`${n}`, 1_000 + n * 100, quotes({ alpha: "10000", beta: String(net) }, "alpha"), true));
  history.add("next", 2_000, quotes({ alpha: "10000", beta: "9990" }, "alpha"), true);
  assert.deepEqual(history.columns(0, 1_000), { venues: ["alpha", "beta"], at: [1.2, 2], behind: [[0, 0], [20, 10]] });
});
