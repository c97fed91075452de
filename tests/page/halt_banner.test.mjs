// The sentence of a halt: for whom, since when, and why.
import assert from "node:assert/strict";
import { test } from "node:test";

import { sentence } from "../../dexexec/api/page/halt_banner.js";

test("a halt of one key does not read as one of everybody", () => {
  const since = new Date(2026, 0, 31, 12, 0, 5).toISOString();
  assert.equal(
    sentence({ key: "desk", since, reason: "maintenance" }),
    "for the key desk since 2026-01-31 12:00:05: maintenance. New orders are refused; cancels and dry runs go on.",
  );
  assert.match(sentence({ key: null, since, reason: "" }), /^for everybody since 2026-01-31 12:00:05\. New orders/);
});
