// An order's stages as a bar to scale, with their times as text below it.

import { el } from "./dom.js";
import { clock, duration, percent } from "./format.js";
import { rest, sum, timed } from "./stage_times.js";

/** More stages than this have no room for a least width of each. */
const MANY = 60;

/**
 * @param {import("./stage_times.js").Stage[]} stages
 * @param {number} nowMs
 * @returns {HTMLElement}
 */
export function stageBar(stages, nowMs) {
  const all = timed(stages, nowMs);
  const total = sum(all);
  const others = rest(all);
  const list = el("ol", { class: "stage-list" }, all.map((stage) => el("li", { data: { status: stage.status } },
    el("strong", null, stage.status, stage.events > 1 && el("span", { class: "muted" }, ` ×${stage.events}`)),
    el("span", { class: "mono" }, clock(stage.at, { milliseconds: true })),
    el("span", { class: "muted" }, text(stage, total)),
  )));
  return el("div", { class: "stage-parts" }, bar(all),
    others && el("p", { class: "hint" }, `Without ${others.left}: ${duration(others.total)}`),
    others && bar(others.stages), list);
}

/** @param {import("./stage_times.js").TimedStage[]} stages */
function bar(stages) {
  return el("div", { class: stages.length > MANY ? "stage-bar many" : "stage-bar", "aria-hidden": "true" }, stages.map((stage) => {
    const part = el("span", { data: { status: stage.status }, title: `${stage.status}: ${duration(stage.ms)}` });
    // Through the CSSOM, which the Content-Security-Policy allows.
    part.style.setProperty("--share", String(stage.ms));
    return part;
  }));
}

/**
 * @param {import("./stage_times.js").TimedStage} stage
 * @param {number} total
 */
function text({ ms, isLast, goesOn }, total) {
  if (goesOn) return `for ${duration(ms)} until now`;
  if (isLast && ms === 0) return "";
  return total === 0 ? duration(ms) : `${duration(ms)}, ${percent(ms / total)}`;
}
