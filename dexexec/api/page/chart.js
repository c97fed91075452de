// One chart: uPlot on a panel, with a legend, and the newest values as text for who does not see it.

import { el, fill, setText } from "./dom.js";
import { clock } from "./format.js";
import uPlot from "./vendor/uplot/uPlot.esm.js";

const HEIGHT = 170;
/** In this order, one for each series. The pattern distinguishes them for who does not see the colours. */
const COLOURS = ["--accent", "--move", "--warn", "--bad", "--muted"];
const DASHES = [[], [6, 6], [2, 3], [10, 3, 2, 3], [5, 2]];
const SVG = "http://www.w3.org/2000/svg";

/**
 * @typedef {object} ChartAbout
 * @property {string} title
 * @property {string} unit
 * @property {string[]} names
 * @property {(value: number) => string} write
 * @property {number} top The end of the axis while no value is above 0.
 */

export class Chart {
  /**
   * @param {HTMLElement} parent
   * @param {ChartAbout} about
   */
  constructor(parent, about) {
    this._about = about;
    this._place = el("div", { class: "chart", "aria-hidden": "true" });
    this._legend = el("ul", { class: "legend", "aria-hidden": "true" });
    this._values = el("tbody");
    this._empty = el("p", { class: "chart-empty" }, "No value yet: place an order.");
    this._figure = el("figure", { class: "panel" },
      el("figcaption", { class: "panel-head" }, el("h2", null, about.title), el("span", { class: "hint" }, about.unit)),
      this._legend, this._place, this._empty,
      el("div", { class: "visually-hidden" },
        el("table", null, el("caption", null, `${about.title}, the newest values: ${about.unit}`), this._values)));
    parent.append(this._figure);
    /** @type {uPlot | null} */
    this._plot = null;
    this._key = "";
    /** @type {[number, number]} */
    this._times = [0, 1];
  }

  /**
   * @param {(number | null)[][]} columns Times first, and then one for each name.
   * @param {number} from What the axis begins with (seconds of Unix time).
   * @param {number} to
   */
  draw(columns, from, to) {
    this._times = [from, to];
    const colours = this._about.names.map((_, index) => getComputedStyle(this._place).getPropertyValue(COLOURS[index % COLOURS.length] ?? ""));
    const resolved = this._resolved(colours);
    // A new series, or another colour scheme, needs a new plot.
    const key = [...this._about.names, ...resolved].join();
    if (key !== this._key) {
      this._plot?.destroy();
      this._plot = this._create(columns, resolved);
      this._key = key;
    } else this._plot?.setData(/** @type {any} */ (columns));
    this._drawText(columns);
  }

  /** @param {string[]} names */
  rename(names) {
    if (names.join() === this._about.names.join()) return;
    this._about = { ...this._about, names };
    fill(this._values);
  }

  resize() {
    this._plot?.setSize({ width: this._place.clientWidth, height: HEIGHT });
  }

  destroy() {
    this._plot?.destroy();
    this._plot = null;
  }

  /**
   * The colours as the browser computes them: a canvas does not understand `light-dark()`.
   * @param {string[]} colours
   */
  _resolved(colours) {
    const probe = this._legend;
    return colours.map((colour) => {
      probe.style.setProperty("color", colour);
      const resolved = getComputedStyle(probe).color;
      probe.style.removeProperty("color");
      return resolved;
    });
  }

  /**
   * @param {(number | null)[][]} columns
   * @param {string[]} colours
   */
  _create(columns, colours) {
    const [ink, line] = this._resolved(["var(--muted)", "var(--line)"]);
    const axis = { stroke: ink ?? "", grid: { stroke: line ?? "", width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const { write, names, top } = this._about;
    const times = (/** @type {any} */ _plot, /** @type {number[]} */ ticks) => ticks.map((tick) => clock(tick * 1000).slice(0, step(ticks) % 60 === 0 ? 5 : 8));
    const options = {
      width: this._place.clientWidth, height: HEIGHT, legend: { show: false }, cursor: { show: false },
      scales: {
        x: { range: () => this._times },
        y: { range: (/** @type {any} */ _plot, /** @type {number} */ _least, /** @type {number} */ most) => [0, most > 0 ? most * 1.1 : top] },
      },
      axes: [{ ...axis, size: 26, space: 70, values: times }, { ...axis, size: 62, values: (/** @type {any} */ _plot, /** @type {number[]} */ ticks) => ticks.map(write) }],
      series: [{}, ...names.map((label, index) => ({ label, stroke: colours[index] ?? "", width: 2, dash: dash(index), points: { show: false, size: 5, filter: isolated } }))],
    };
    fill(this._legend, names.map((name, index) => el("li", null, swatch(colours[index] ?? "", dash(index)), name)));
    return new uPlot(/** @type {any} */ (options), /** @type {any} */ (columns), this._place);
  }

  /** @param {(number | null)[][]} columns */
  _drawText(columns) {
    this._empty.hidden = columns.slice(1).some((column) => column.some((value) => value !== null));
    if (this._values.childElementCount === 0) {
      fill(this._values, this._about.names.map((name) => el("tr", null, el("th", { scope: "row" }, name), el("td"))));
    }
    [...this._values.rows].forEach((row, index) => {
      const newest = columns[index + 1]?.findLast((value) => value !== null && value !== undefined);
      const cell = row.cells[1];
      if (cell) setText(cell, newest === undefined || newest === null ? "none yet" : this._about.write(newest));
    });
  }
}

/** @param {number} index */
function dash(index) {
  return DASHES[index % DASHES.length] ?? [];
}

/**
 * A piece of the line, for the legend.
 * @param {string} colour
 * @param {number[]} pattern
 */
function swatch(colour, pattern) {
  const image = document.createElementNS(SVG, "svg");
  const line = document.createElementNS(SVG, "line");
  const attributes = { x1: 0, y1: 3, x2: 26, y2: 3, stroke: colour, "stroke-width": 2, "stroke-dasharray": pattern.join(" ") };
  for (const [name, value] of Object.entries(attributes)) line.setAttribute(name, String(value));
  image.setAttribute("viewBox", "0 0 26 6");
  image.append(line);
  return image;
}

/**
 * Seconds between two ticks; 0 for a single one.
 * @param {number[]} ticks
 */
function step(ticks) {
  return (ticks[1] ?? 0) - (ticks[0] ?? 0);
}

/**
 * The places of values without a neighbour, which a line does not show.
 * @param {any} plot
 * @param {number} series
 * @returns {number[]}
 */
function isolated(plot, series) {
  /** @type {(number | null | undefined)[]} */
  const values = plot.data[series];
  const isMissing = (/** @type {number} */ place) => (values[place] ?? null) === null;
  return [...values.keys()].filter((place) => !isMissing(place) && isMissing(place - 1) && isMissing(place + 1));
}
