// Which signatures have a link to an explorer.
import assert from "node:assert/strict";
import { test } from "node:test";

import { isOnChain } from "../../dexexec/api/page/order_attempts.js";

const linked = (outcome, more) => isOnChain({ outcome, proof: null, endpoints: [], ...more });

test("what landed, or failed on the chain, is there", () => {
  assert.deepEqual([linked("landed"), linked("failed")], [true, true]);
});

test("what was never sent, or can never land, is not", () => {
  assert.deepEqual([linked("unsent"), linked("expired"), linked("rejected")], [false, false, false]);
  assert.equal(linked("expired", { endpoints: [{ endpoint: "node", sends: 3 }] }), false);
});

test("what is open may be there once it was sent or seen", () => {
  assert.equal(linked("open"), false);
  assert.equal(linked("open", { endpoints: [{ endpoint: "node", sends: 0 }] }), false);
  assert.equal(linked("open", { endpoints: [{ endpoint: "node", sends: 1 }] }), true);
  assert.equal(linked("open", { proof: { slot: 7 } }), true);
});
