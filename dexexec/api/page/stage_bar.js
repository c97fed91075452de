// An order's stages as a bar, each as wide as the time that it took, with the times as text below it.

import { el } from "./dom.js";
import { clock, duration } from "./format.js";

/** @typedef {{status: string, at: string, ms: number | null}} Stage */

/**
 * @param {Stage[]} stages
 * @returns {HTMLElement}
 */
export function stageBar(stages) {
  const bar = el("div", { class: "stage-bar", "aria-hidden": "true" }, stages.map((stage) => {
    const part = el("span", { data: { status: stage.status }, title: `${stage.status}: ${duration(stage.ms)}` });
    // Through the CSSOM, which the Content-Security-Policy allows. The root keeps short stages visible beside long ones.
    part.style.setProperty("--share", String(Math.sqrt(Math.max(0, stage.ms ?? 0)) + 1));
    return part;
  }));
  const list = el("ol", { class: "stage-list" }, stages.map((stage, index) => {
    const isLast = index === stages.length - 1;
    return el("li", { data: { status: stage.status } },
      el("strong", null, stage.status),
      el("span", { class: "mono" }, clock(stage.at, { milliseconds: true })),
      el("span", { class: "muted" }, isLast ? "" : duration(stage.ms)),
    );
  }));
  return el("div", { class: "stage-parts" }, bar, list);
}
