// Makes the columns of the charts of an answer of `GET /api/stats`. Pure.

/**
 * @typedef {object} Columns
 * @property {number[]} at When each bucket begins (seconds of Unix time).
 * @property {number[]} accepted Orders a second, by when they were accepted.
 * @property {number[]} confirmed Those of them that are confirmed by now.
 * @property {(number | null)[]} p50 Milliseconds.
 * @property {(number | null)[]} p90
 * @property {(number | null)[]} p99
 * @property {(number | null)[]} landed The share of transactions with an outcome that landed, in percent.
 */

/**
 * One place for each bucket, also for those without orders, which the answer leaves out.
 * @param {{since: string, until: string, bucketSeconds: number, buckets: any[], truncated: boolean}} stats
 * @returns {Columns}
 */
export function statsColumns({ since, until, bucketSeconds, buckets, truncated }) {
  const end = Date.parse(until) / 1000;
  // Of more orders than the service counts the oldest are missing: before them nothing is known, and it is not zero.
  const first = Date.parse(truncated ? (buckets[0]?.at ?? until) : since) / 1000;
  const found = new Map(buckets.map((bucket) => [Date.parse(bucket.at) / 1000, bucket]));
  /** @type {Columns} */
  const columns = { at: [], accepted: [], confirmed: [], p50: [], p90: [], p99: [], landed: [] };
  for (let at = first; at < end; at += bucketSeconds) {
    const bucket = found.get(at);
    // The newest bucket goes on: it counts by the part that has passed, once that is half of it.
    const seconds = Math.min(bucketSeconds, Math.max(end - at, bucketSeconds / 2));
    columns.at.push(at);
    columns.accepted.push((bucket?.accepted ?? 0) / seconds);
    columns.confirmed.push((bucket?.confirmed ?? 0) / seconds);
    columns.p50.push(bucket?.p50Ms ?? null);
    columns.p90.push(bucket?.p90Ms ?? null);
    columns.p99.push(bucket?.p99Ms ?? null);
    columns.landed.push(bucket ? landRate(bucket) : null);
  }
  return columns;
}

/** @param {{landed: number, expired: number, failedOnChain: number}} bucket */
function landRate({ landed, expired, failedOnChain }) {
  const all = landed + expired + failedOnChain;
  return all === 0 ? null : (100 * landed) / all;
}
