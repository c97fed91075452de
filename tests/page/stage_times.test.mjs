// How long an order was in its stages.
import assert from "node:assert/strict";
import { test } from "node:test";

import { rest, timed } from "../../dexexec/api/page/stage_times.js";

const NOON = Date.parse("2026-01-31T12:00:00Z");
const at = new Date(NOON).toISOString();
const stages = (...pairs) => pairs.map(([status, ms]) => ({ status, at, ms }));

test("a stage that goes on lasts until now, and the last one has no time", () => {
  const [first, second] = timed(stages(["pending", 5], ["waiting", null]), NOON + 700);
  assert.deepEqual([first.ms, first.isLast, first.goesOn], [5, false, false]);
  assert.deepEqual([second.ms, second.isLast, second.goesOn], [700, true, true]);
  assert.equal(timed(stages(["waiting", null]), NOON - 50)[0].ms, 0);
});

test("what rested for an hour is left out of a second bar, all of it", () => {
  const all = timed(stages(["pending", 5], ["waiting", 3_600_000], ["waiting", 60_000], ["routing", 40], ["submitted", 500], ["confirmed", 0]), NOON);
  const shown = rest(all);
  assert.equal(shown.left, "waiting");
  assert.deepEqual(shown.stages.map(({ status }) => status), ["pending", "routing", "submitted", "confirmed"]);
  assert.equal(shown.total, 545);
});

test("stages that can all be seen have one bar, and so have those beside which there is nothing", () => {
  assert.equal(rest(timed(stages(["pending", 70], ["submitted", 500], ["confirmed", 0]), NOON)), null);
  assert.equal(rest(timed(stages(["pending", 0], ["waiting", 500]), NOON)), null);
  assert.equal(rest(timed(stages(["pending", 0]), NOON)), null);
});

test("events of one status after one another are one stage", () => {
  const all = timed(stages(["pending", 5], ["waiting", 10], ["waiting", 20], ["waiting", null]), NOON + 30);
  assert.deepEqual(all.map(({ status, ms, events, isLast, goesOn }) => [status, ms, events, isLast, goesOn]), [["pending", 5, 1, false, false], ["waiting", 60, 3, true, true]]);
});
