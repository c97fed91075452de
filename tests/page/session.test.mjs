// The service's clock, which this computer's may differ from.
import assert from "node:assert/strict";
import { test } from "node:test";

import { clockOffsetMs } from "../../dexexec/api/page/session.js";

const NOON = Date.parse("2026-01-31T12:00:00Z");

test("a clock that is an hour wrong is corrected, and one that agrees is left alone", () => {
  const date = new Date(NOON).toUTCString();
  assert.equal(clockOffsetMs(date, NOON - 3_600_000), 3_600_000);
  assert.equal(clockOffsetMs(date, NOON + 3_600_000), -3_600_000);
  assert.equal(clockOffsetMs(date, NOON + 999), 0);
  assert.equal(clockOffsetMs(null, NOON), 0);
  assert.equal(clockOffsetMs("no date", NOON), 0);
});
