// The stream's position: what the page resumes with, and what it shows meanwhile.
import assert from "node:assert/strict";
import { test } from "node:test";

import { START, connectionText, next, pauseMs, subscription } from "../../dexexec/api/page/stream_position.js";

const after = (happenings, state = START) => happenings.reduce(next, state);
const opened = { kind: "opened" };
const closed = (code = 1006, at = 1_000) => ({ kind: "closed", code, at });
const message = (message) => ({ kind: "message", message });

test("the first subscription begins with now, and is followed by a list", () => {
  const state = after([opened, message({ position: "p1" })]);
  assert.equal(connectionText(state, String), "Live");
  assert.deepEqual(subscription(START), { events: "all" });
  assert.equal(state.phase, "live");
  assert.equal(state.stale, true);
});

test("after a loss it resumes behind the last whole batch, without a list", () => {
  const live = { ...after([opened, message({ position: "p1" }), message({ position: "p2" })]), stale: false };
  const lost = after([message({ orderId: "x", seq: 1, status: "pending" }), closed(1006, 5_000)], live);
  assert.deepEqual(subscription(lost), { events: "all", after: "p2" });
  assert.equal(lost.phase, "reconnecting");
  assert.equal(lost.since, 5_000);
  const back = after([opened, message({ position: "p3" })], lost);
  assert.equal(back.phase, "live");
  assert.equal(back.since, null);
  assert.equal(back.tries, 0);
  assert.equal(back.stale, false);
});

test("what is shown is old since the first loss, however many tries fail", () => {
  const state = after([opened, message({ position: "p1" }), closed(1006, 5_000), closed(1006, 6_000), opened, closed(1006, 7_000)]);
  assert.equal(state.since, 5_000);
  assert.equal(state.tries, 3);
  assert.match(connectionText(state, String), /^Reconnecting.*5000$/);
});

test("a loss before the first position reads the list again", () => {
  const state = after([opened, closed(), opened, message({ position: "p1" })]);
  assert.equal(state.phase, "live");
  assert.equal(state.stale, true);
});

test("a position that the record does not have begins anew with now, and a list", () => {
  for (const code of ["position-unknown", "invalid-position"]) {
    const state = after([opened, message({ position: "p1" }), closed(), opened, message({ error: { code, message: "" } })]);
    assert.deepEqual(subscription(state), { events: "all" });
    assert.equal(state.stale, true);
    assert.match(connectionText(after([message({ position: "p9" })], state), String), /^Live.*read anew/);
  }
});

test("an error of another kind leaves the position alone", () => {
  const state = after([opened, message({ position: "p1" }), message({ error: { code: "unavailable", message: "" } })]);
  assert.equal(state.position, "p1");
  assert.equal(state.phase, "live");
});

test("a key that has ended ends the connection", () => {
  const state = after([opened, message({ position: "p1" }), closed(4401)]);
  assert.equal(state.phase, "unauthorized");
  assert.match(connectionText(state, String), /^No connection/);
});

test("pauses grow to five seconds, and are spread", () => {
  const longest = Array.from({ length: 50 }, (_, tries) => pauseMs(tries, 1));
  assert.deepEqual(longest.slice(0, 6), [250, 500, 1000, 2000, 4000, 5000]);
  assert.equal(Math.max(...longest), 5_000);
  assert.equal(pauseMs(3, 0), 1_000);
});
