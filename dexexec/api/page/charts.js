// Charts of the last minutes: throughput, latency, transactions landed, and the venues' prices against the best.

import { el, fill } from "./dom.js";
import { bps, clock, duration } from "./format.js";
import { RecentFigures } from "./recent_figures.js";
import { Problem } from "./session.js";
import uPlot from "./vendor/uplot/uPlot.esm.js";

const REDRAW_MS = 1_000;
const SAMPLE_MS = 5_000;
const SAMPLES = 180;
const HEIGHT = 170;
/** In this order, one for each series. */
const COLOURS = ["--accent", "--move", "--warn", "--bad", "--muted"];

/** @typedef {{title: string, unit: string, names: string[], write: (value: number) => string}} ChartAbout */

/** @type {Record<string, ChartAbout>} */
const CHARTS = {
  throughput: { title: "Throughput", unit: "orders a second", names: ["accepted", "confirmed"], write: (value) => `${Math.round(value * 10) / 10}/s` },
  latency: { title: "Latency", unit: "from acceptance to the confirmation", names: ["p50", "p90", "p99"], write: duration },
  landed: { title: "Land rate", unit: "transactions that landed, of those with an outcome", names: ["landed"], write: (value) => `${Math.round(value)} %` },
};

/** @type {import("./types.js").Mount} */
export function mount(container, context) {
  const figures = new RecentFigures();
  for (const id of context.orders.newest()) figures.addOrder(context.orders.get(id) ?? {});
  const stopListening = context.onEvent((event) => figures.addEvent(event));
  const grid = el("div", { class: "charts" });
  container.append(grid);
  const charts = Object.fromEntries(Object.entries(CHARTS).map(([name, about]) => [name, new Chart(grid, about)]));
  const prices = new PriceChart(grid, context);
  let seeded = context.orders.newest().length > 0;

  function draw() {
    if (document.hidden) return;
    const { at, accepted, confirmed, p50, p90, p99, landed } = figures.columns(context.now());
    charts["throughput"]?.draw([at, accepted, confirmed]);
    charts["latency"]?.draw([at, p50, p90, p99]);
    charts["landed"]?.draw([at, landed]);
  }

  const timer = window.setInterval(draw, REDRAW_MS);
  const resized = () => [...Object.values(charts), prices.chart].forEach((chart) => chart?.resize());
  window.addEventListener("resize", resized);
  draw();
  return {
    update: () => {
      if (seeded || context.orders.newest().length === 0) return;
      seeded = true;
      for (const id of context.orders.newest()) figures.addOrder(context.orders.get(id) ?? {});
      draw();
    },
    unmount: () => {
      clearInterval(timer);
      stopListening();
      window.removeEventListener("resize", resized);
      prices.stop();
      for (const chart of Object.values(charts)) chart.destroy();
    },
  };
}

class Chart {
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
  }

  /** @param {(number | null)[][]} columns Times first, and then one for each name. */
  draw(columns) {
    const colours = this._about.names.map((_, index) => getComputedStyle(this._place).getPropertyValue(COLOURS[index % COLOURS.length] ?? ""));
    // A new series, or another colour scheme, needs a new plot.
    const key = [...this._about.names, ...this._resolved(colours)].join();
    if (key !== this._key) {
      this._plot?.destroy();
      this._plot = this._create(columns, this._resolved(colours));
      this._key = key;
    } else this._plot?.setData(/** @type {any} */ (columns));
    this._drawText(columns);
  }

  /** @param {string[]} names */
  rename(names) {
    this._about = { ...this._about, names };
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
    const { write, names } = this._about;
    const times = (/** @type {any} */ _plot, /** @type {number[]} */ ticks) => ticks.map((tick) => clock(tick * 1000).slice(0, step(ticks) < 60 ? 8 : 5));
    const options = {
      width: this._place.clientWidth, height: HEIGHT, legend: { show: false }, cursor: { show: false },
      scales: {
        // Of the times themselves, since uPlot gives a single one a whole day. It gets a minute here.
        x: { range: (/** @type {any} */ plot) => timesShown(plot.data[0]) },
        y: { range: (/** @type {any} */ _plot, /** @type {number} */ _least, /** @type {number} */ most) => [0, Math.max(most * 1.1, 1e-9) || 1] },
      },
      axes: [{ ...axis, size: 26, space: 70, values: times }, { ...axis, size: 62, values: (/** @type {any} */ _plot, /** @type {number[]} */ ticks) => ticks.map(write) }],
      series: [{}, ...names.map((label, index) => ({ label, stroke: colours[index] ?? "", width: 2, points: { show: false, size: 5, filter: isolated } }))],
    };
    fill(this._legend, names.map((name, index) => {
      const swatch = el("i");
      swatch.style.setProperty("background", colours[index] ?? "");
      return el("li", null, swatch, name);
    }));
    return new uPlot(/** @type {any} */ (options), /** @type {any} */ (columns), this._place);
  }

  /** @param {(number | null)[][]} columns */
  _drawText(columns) {
    this._empty.hidden = columns.slice(1).some((column) => column.some((value) => value !== null));
    fill(this._values, this._about.names.map((name, index) => {
      const newest = columns[index + 1]?.findLast((value) => value !== null && value !== undefined);
      return el("tr", null, el("th", { scope: "row" }, name), el("td", null, newest === undefined || newest === null ? "none yet" : this._about.write(newest)));
    }));
  }
}

class PriceChart {
  /**
   * @param {HTMLElement} parent
   * @param {import("./types.js").Context} context
   */
  constructor(parent, context) {
    this._context = context;
    this.chart = new Chart(parent, { title: "Price per venue", unit: "behind the best quote of one token, net of fees", names: [], write: bps });
    /** @type {{at: number, behind: Map<string, number>}[]} */
    this._samples = [];
    this._timer = 0;
    this._ended = false;
    void this._sample();
  }

  stop() {
    this._ended = true;
    clearTimeout(this._timer);
    this.chart.destroy();
  }

  async _sample() {
    try {
      if (!document.hidden) this._add(await this._context.api.get("/api/quote?amount=1"));
    } catch (error) {
      if (!(error instanceof Problem)) throw error; // a gap in the chart
    }
    if (!this._ended) this._timer = window.setTimeout(() => void this._sample(), SAMPLE_MS);
  }

  /** @param {any} answer */
  _add(answer) {
    if (this._ended) return;
    const quotes = answer.quotes[0].venues.filter((/** @type {any} */ quote) => quote.price);
    const best = Math.max(...quotes.map((/** @type {any} */ quote) => Number(quote.net)));
    const behind = new Map(quotes.map((/** @type {any} */ quote) => [quote.venue, (1e4 * (best - Number(quote.net))) / best]));
    this._samples.push({ at: Math.round(this._context.now() / 1000), behind: /** @type {Map<string, number>} */ (behind) });
    if (this._samples.length > SAMPLES) this._samples.shift();
    const venues = [...new Set(this._samples.flatMap((sample) => [...sample.behind.keys()]))].sort();
    this.chart.rename(venues);
    this.chart.draw([this._samples.map(({ at }) => at), ...venues.map((venue) => this._samples.map(({ behind }) => behind.get(venue) ?? null))]);
  }
}

/**
 * The least and the most time of the axis, at least a minute apart.
 * @param {number[]} at
 * @returns {[number, number]}
 */
function timesShown(at) {
  const newest = at.at(-1) ?? Math.round(Date.now() / 1000);
  return [Math.min(at[0] ?? newest, newest - 60), newest];
}

/**
 * Seconds between two ticks.
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
