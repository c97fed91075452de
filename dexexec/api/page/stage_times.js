// How long an order was in each stage, and what is shown enlarged. Pure.

/** A stage as `GET /api/orders/{id}/explain` has it: `ms` is null while it lasts. @typedef {{status: string, at: string, ms: number | null}} Stage */
/** @typedef {{status: string, at: string, ms: number, events: number, isLast: boolean, goesOn: boolean}} TimedStage */

/** A status that took this share of the time leaves no room for the others. */
const TOO_LONG = 0.9;

/**
 * The stages with their times. Events of the same status after one another, as of an order that is changed while it
 * rests, are one.
 * @param {Stage[]} stages
 * @param {number} nowMs
 * @returns {TimedStage[]}
 */
export function timed(stages, nowMs) {
  /** @type {TimedStage[]} */
  const found = [];
  stages.forEach(({ status, at, ms }, index) => {
    const took = Math.max(0, ms ?? nowMs - Date.parse(at));
    const isLast = index === stages.length - 1;
    const before = found.at(-1);
    if (before?.status !== status) found.push({ status, at, ms: took, events: 1, isLast, goesOn: ms === null });
    else Object.assign(before, { ms: before.ms + took, events: before.events + 1, isLast, goesOn: ms === null });
  });
  return found;
}

/**
 * The stages without those of the status that took so long that the others cannot be seen beside it. Null if all can be
 * seen.
 * @param {TimedStage[]} stages
 */
export function rest(stages) {
  const total = sum(stages);
  const left = [...new Set(stages.map(({ status }) => status))].find((name) => sum(stages.filter(({ status }) => status === name)) > TOO_LONG * total);
  const others = stages.filter(({ status }) => status !== left);
  return left === undefined || sum(others) === 0 ? null : { left, stages: others, total: sum(others) };
}

/** @param {TimedStage[]} stages */
export function sum(stages) {
  return stages.reduce((before, { ms }) => before + ms, 0);
}
