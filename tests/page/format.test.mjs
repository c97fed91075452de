// Amounts, times and rates as text.
import assert from "node:assert/strict";
import { test } from "node:test";

import { amount, bps, clock, duration, fromBase, grouped, moment, shortAddress } from "../../dexexec/api/page/format.js";
import { aheadOf, compared } from "../../dexexec/api/page/quote_comparison.js";

test("base units are exact beyond what a number holds", () => {
  assert.equal(fromBase("123456789012345678901234567890", 9), "123456789012345678901.23456789");
  assert.equal(fromBase("1", 9), "0.000000001");
  assert.equal(fromBase("-1500000", 6), "-1.5");
  assert.equal(fromBase("0", 6), "0");
  assert.equal(fromBase("42", 0), "42");
});

test("thousands are grouped, and decimals are not", () => {
  assert.equal(grouped("1234567.1234567"), "1,234,567.1234567");
  assert.equal(grouped("-1234"), "-1,234");
  assert.equal(grouped("999"), "999");
});

test("an amount of a mint without known decimals is in base units", () => {
  assert.equal(amount("1500000", { mint: "m", symbol: "USDC", decimals: 6 }), "1.5 USDC");
  assert.equal(amount("1500000", { mint: "m", symbol: "7s1P…TrUZ", decimals: -1 }), "1,500,000 base units of 7s1P…TrUZ");
  assert.equal(amount(null, { mint: "m", symbol: "USDC", decimals: 6 }), "–");
});

test("spans have the unit that fits", () => {
  assert.deepEqual([0, 999, 1_250, 59_990, 59_999, 185_000, 7_800_000, 273_600_000].map(duration), [
    "0 ms", "999 ms", "1.25 s", "59.99 s", "1 min 0 s", "3 min 5 s", "2 h 10 min", "3 d 4 h",
  ]);
  assert.equal(duration(null), "–");
});

test("the date is only shown of another day", () => {
  const noon = new Date(2026, 0, 31, 12, 0, 5);
  assert.equal(moment(noon.toISOString(), noon.getTime() + 60_000), "12:00:05");
  assert.equal(moment(noon.toISOString(), noon.getTime() + 86_400_000), "2026-01-31 12:00:05");
  assert.equal(moment(null, noon.getTime()), "–");
});

test("what is unknown or no time is a dash", () => {
  assert.deepEqual([clock(null), clock("no time"), bps(null)], ["–", "–", "–"]);
  assert.equal(bps("10.554"), "10.55 bps");
  assert.equal(shortAddress("So11111111111111111111111111111111111111112"), "So11…1112");
});

test("quotes are compared net of fees, in the direction of the mode", () => {
  const quotes = [{ venue: "a", selected: true, net: "150645569" }, { venue: "b", selected: false, net: "150486501" }, { venue: "c", selected: false }];
  assert.deepEqual(compared(quotes, true).map(({ behindBps }) => behindBps), [0, 10.55, null]);
  assert.deepEqual(compared([{ ...quotes[0], net: "100" }, { ...quotes[1], net: "101" }], false).map(({ behindBps }) => behindBps), [0, 100]);
  assert.equal(compared([{ ...quotes[0], net: "0" }, quotes[1]], true)[1].behindBps, null);
});

test("the winner and its lead are a sentence", () => {
  assert.equal(aheadOf({ best: "a", aheadBps: "10.55", venues: [] }), "a wins by 10.55 bps.");
  assert.match(aheadOf({ best: null, aheadBps: null, venues: [] }), /^No venue/);
  assert.match(aheadOf({ best: "a", aheadBps: null, venues: [{}, {}] }), /^a is the only one/);
});
