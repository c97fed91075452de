// Columns of the charts, of an answer of GET /api/stats.
import assert from "node:assert/strict";
import { test } from "node:test";

import { statsColumns } from "../../dexexec/api/page/stats_columns.js";

const NOON = Date.parse("2026-01-31T12:00:00Z");
const at = (seconds) => new Date(NOON + 1000 * seconds).toISOString();
const bucket = (seconds, more) => ({ at: at(seconds), accepted: 0, confirmed: 0, p50Ms: null, p90Ms: null, p99Ms: null, landed: 0, expired: 0, failedOnChain: 0, ...more });
const stats = (until, buckets, more) => ({ since: at(0), until: at(until), bucketSeconds: 10, buckets, truncated: false, ...more });

test("buckets without orders are zero, and have no latency and no share", () => {
  const columns = statsColumns(stats(30, [bucket(10, { accepted: 20, confirmed: 10, p50Ms: 5, p90Ms: 8, p99Ms: 9, landed: 3, expired: 1 })]));
  assert.deepEqual(columns.at, [0, 10, 20].map((seconds) => NOON / 1000 + seconds));
  assert.deepEqual(columns.accepted, [0, 2, 0]);
  assert.deepEqual(columns.confirmed, [0, 1, 0]);
  assert.deepEqual([columns.p50, columns.p90, columns.p99], [[null, 5, null], [null, 8, null], [null, 9, null]]);
  assert.deepEqual(columns.landed, [null, 75, null]);
});

test("transactions that failed on the chain did not land, and orders without one have no share", () => {
  const columns = statsColumns(stats(20, [bucket(0, { accepted: 1, landed: 1, failedOnChain: 1 }), bucket(10, { accepted: 4 })]));
  assert.deepEqual(columns.landed, [50, null]);
});

test("a bucket that has begun counts by its part, of which a half is the least", () => {
  const rates = (until) => statsColumns(stats(until, [bucket(10, { accepted: 8 })])).accepted.at(-1);
  assert.deepEqual([rates(11), rates(15), rates(18), rates(20)], [1.6, 1.6, 1, 0.8]);
});

test("what was not counted is unknown, and not zero", () => {
  const columns = statsColumns(stats(40, [bucket(20, { accepted: 10 })], { truncated: true }));
  assert.deepEqual(columns.accepted, [1, 0]);
});
