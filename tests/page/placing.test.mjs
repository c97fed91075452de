// An order is placed once, whatever becomes of the answers.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Placing, mayBeStored } from "../../dexexec/api/page/placing.js";
import { Problem } from "../../dexexec/api/page/session.js";

const LOST = new Problem({ status: 0 });
const BUSY = new Problem({ status: 409, type: "/problems/idempotency-key-in-flight" });
const REFUSED = new Problem({ status: 422, type: "/problems/invalid-order", errors: [] });
const HALTED = new Problem({ status: 503, type: "/problems/halted" });
const BUY = { side: "buy", amount: "0.01" };

/** A service that gives these answers in turn, and notes the keys that it was sent. */
function service(...answers) {
  const keys = [];
  const post = async (_path, _body, { idempotencyKey }) => {
    keys.push(idempotencyKey);
    const answer = answers.shift();
    if (answer instanceof Problem) throw answer;
    return answer;
  };
  const pauses = [];
  return { keys, pauses, placing: new Placing({ post }, async (ms) => void pauses.push(ms)) };
}

test("a lost answer is requested again with the same key", async () => {
  const { placing, keys, pauses } = service(LOST, BUSY, { orderId: "a" });
  const delays = [];
  assert.deepEqual(await placing.place(BUY, (text) => delays.push(text)), { orderId: "a" });
  assert.equal(new Set(keys).size, 1);
  assert.equal(keys.length, 3);
  assert.equal(delays.length, 2);
  assert.ok(pauses[0] < pauses[1]);
  assert.equal(placing.isUnanswered, false);
});

test("after all tries the same order goes on with its key, and another one does not", async () => {
  const { placing, keys } = service(...Array(6).fill(LOST), { orderId: "a" }, { orderId: "b" });
  await assert.rejects(placing.place(BUY, () => {}), LOST);
  assert.equal(placing.isUnanswered, true);
  await placing.place(BUY, () => {});
  assert.equal(new Set(keys).size, 1);
  await placing.place({ ...BUY, amount: "0.02" }, () => {});
  assert.equal(new Set(keys).size, 2);
});

test("two orders of the same size are two orders", async () => {
  const { placing, keys } = service({ orderId: "a" }, { orderId: "b" });
  await placing.place(BUY, () => {});
  await placing.place(BUY, () => {});
  assert.equal(new Set(keys).size, 2);
});

test("a refusal is final, and the next try is a new order", async () => {
  const { placing, keys } = service(REFUSED, HALTED, { orderId: "a" });
  await assert.rejects(placing.place(BUY, () => {}), REFUSED);
  assert.equal(placing.isUnanswered, false);
  await assert.rejects(placing.place(BUY, () => {}), HALTED);
  await placing.place(BUY, () => {});
  assert.equal(new Set(keys).size, 3);
});

test("an answer of a proxy leaves it open whether the order was stored", () => {
  const stored = (status, type) => mayBeStored(new Problem({ status, type }));
  assert.deepEqual([stored(502), stored(504), stored(503, "/problems/unavailable"), stored(500, "/problems/internal")], [true, true, true, true]);
  assert.deepEqual([stored(503, "/problems/queue-full"), stored(429, "/problems/too-many-orders"), stored(401, "/problems/unauthorized")], [false, false, false]);
});

test("an order that was given up is not tried again with the next key", async () => {
  const { placing, keys } = service(LOST, { orderId: "a" });
  await assert.rejects(placing.place(BUY, () => placing.abandon()), LOST);
  assert.equal(keys.length, 1);
});
