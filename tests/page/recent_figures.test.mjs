// Figures of the charts, computed of lists and events.
import assert from "node:assert/strict";
import { test } from "node:test";

import { BUCKETS, BUCKET_SECONDS, RecentFigures, percentile } from "../../dexexec/api/page/recent_figures.js";

const NOON = Date.parse("2026-01-31T12:00:00Z");
const at = (ms) => new Date(NOON + ms).toISOString();
const event = (orderId, seq, status, ms) => ({ orderId, seq, status, at: at(ms), final: false });
const newest = (figures, nowMs = NOON + 1_000) => Object.fromEntries(Object.entries(figures.columns(nowMs)).map(([name, values]) => [name, values.at(-1)]));

test("an order that is confirmed counts once, with its time", () => {
  const figures = new RecentFigures();
  figures.addEvent(event("a", 1, "pending", 0));
  figures.addEvent(event("a", 5, "confirmed", 600));
  figures.addEvent(event("a", 6, "confirmed", 900)); // final
  assert.deepEqual(newest(figures), {
    at: NOON / 1000, accepted: 1 / BUCKET_SECONDS, confirmed: 1 / BUCKET_SECONDS, p50: 600, p90: 600, p99: 600, landed: 100,
  });
});

test("an order of the list and its events are one order", () => {
  const figures = new RecentFigures();
  figures.addEvent(event("a", 1, "pending", 0));
  figures.addOrder({ orderId: "a", status: "confirmed", createdAt: at(0), finishedAt: at(500) });
  figures.addOrder({ orderId: "b", status: "failed", createdAt: at(0), finishedAt: at(500), attemptCount: 3 });
  figures.addEvent(event("a", 5, "confirmed", 500));
  figures.addEvent(event("b", 9, "failed", 500));
  const { accepted, confirmed, landed } = newest(figures);
  assert.equal(accepted, 2 / BUCKET_SECONDS);
  assert.equal(confirmed, 1 / BUCKET_SECONDS);
  assert.equal(landed, 25);
});

test("how long an order rested is no latency", () => {
  const figures = new RecentFigures();
  figures.addEvent(event("a", 1, "pending", -60_000));
  figures.addEvent({ ...event("a", 3, "waiting", 100), triggered: true });
  figures.addEvent(event("a", 6, "confirmed", 700));
  assert.equal(newest(figures).p50, 600);
});

test("each transaction counts in the land rate, also of an order that is filled in the end", () => {
  const figures = new RecentFigures();
  const life = ["pending", "routing", "building", "submitted", "routing", "building", "submitted", "confirmed", "confirmed"];
  life.forEach((status, index) => figures.addEvent(event("a", index + 1, status, index * 10)));
  assert.equal(newest(figures).landed, 50);
});

test("an order without a transaction has no share, and a cancel neither", () => {
  const figures = new RecentFigures();
  figures.addEvent(event("a", 1, "pending", 0));
  figures.addEvent(event("a", 2, "cancelled", 100));
  figures.addEvent(event("b", 1, "pending", 0));
  figures.addEvent(event("b", 2, "routing", 0));
  figures.addEvent(event("b", 3, "failed", 100));
  assert.equal(newest(figures).landed, null);
  assert.equal(newest(figures).p50, null);
});

test("old buckets leave", () => {
  const figures = new RecentFigures();
  figures.addEvent(event("a", 1, "pending", 0));
  const { at: times, accepted } = figures.columns(NOON + BUCKETS * BUCKET_SECONDS * 1000 + 1);
  assert.equal(times.length, BUCKETS);
  assert.equal(accepted.reduce((sum, value) => sum + value, 0), 0);
});

test("a percentile is a value that was there", () => {
  const values = Array.from({ length: 100 }, (_, index) => index + 1);
  assert.deepEqual([percentile(values, 0.5), percentile(values, 0.99), percentile([7], 0.5), percentile([], 0.5)], [50, 99, 7, null]);
});
