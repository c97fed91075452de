// Charts of the last minutes: throughput, latency and land rate of `GET /api/stats`, and the venues' prices against the
// best.

import { Chart } from "./chart.js";
import { el, setText } from "./dom.js";
import { bps, duration } from "./format.js";
import { Problem } from "./session.js";
import { statsColumns } from "./stats_columns.js";

const EVERY_MS = 5_000;
/** After a read that was refused. */
const RETRY_MS = 2_000;
/** Spans to choose from (minutes). */
const SPANS = [5, 15, 60];
/** Of so many of the newest orders the quotes are read once, to begin the chart of prices with. */
const SEEDS = 25;
/** Points of the chart of prices, at most. */
const PRICE_POINTS = 60;
/** What is chosen survives a look at another view. */
let minutes = 5;

/** @type {Record<string, import("./chart.js").ChartAbout>} */
const CHARTS = {
  throughput: { title: "Throughput", unit: "orders a second, by when they were accepted", names: ["accepted", "confirmed"], write: (value) => `${Math.round(value * 100) / 100}/s`, top: 1 },
  latency: { title: "Latency", unit: "from acceptance to the confirmation", names: ["p50", "p90", "p99"], write: duration, top: 1_000 },
  landed: { title: "Land rate", unit: "transactions that landed, of those with an outcome", names: ["landed"], write: (value) => `${Math.round(value)} %`, top: 100 },
  prices: { title: "Price per venue", unit: "how far its quotes were behind the best, net of fees, median", names: [], write: bps, top: 10 },
};

/** @type {import("./types.js").Mount} */
export function mount(container, context) {
  const span = el("select", { id: "chart-span", on: { change: () => { minutes = Number(span.value); void read(); } } },
    SPANS.map((length) => el("option", { value: length, selected: length === minutes }, `${length} minutes`)));
  const note = el("p", { class: "hint", role: "status" });
  const grid = el("div", { class: "charts" });
  container.append(el("div", { class: "chart-span" }, el("label", { for: "chart-span" }, "The last"), span, note), grid);
  const charts = Object.fromEntries(Object.entries(CHARTS).map(([name, about]) => [name, new Chart(grid, about)]));
  const { prices } = context;
  let timer = 0;
  let reads = 0;
  let ended = false;

  async function read() {
    clearTimeout(timer);
    const asked = ++reads;
    let pauseMs = EVERY_MS;
    try {
      if (!document.hidden) await readAll(asked);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      pauseMs = RETRY_MS;
      if (asked === reads) setText(note, `Not read: ${error.message}`);
    }
    if (!ended && asked === reads) timer = window.setTimeout(() => void read(), pauseMs);
  }

  /** @param {number} asked */
  async function readAll(asked) {
    const [stats, answer] = await Promise.all([
      context.api.get(`/api/stats?minutes=${minutes}`),
      context.api.get("/api/quote?amount=1").catch(noQuotes),
    ]);
    if (ended || asked !== reads) return;
    // Also without orders the venues' prices are seen.
    if (answer) prices.add(`sample ${context.now()}`, context.now(), answer.quotes[0].venues, answer.mode === "exactIn");
    setText(note, stats.truncated ? "There were more orders than are counted: the charts begin with the oldest of the newest 5,000." : "");
    draw(stats);
  }

  /** @param {any} stats */
  function draw(stats) {
    const to = Date.parse(stats.until) / 1000;
    const from = to - minutes * 60;
    const { at, accepted, confirmed, p50, p90, p99, landed } = statsColumns(stats);
    charts["throughput"]?.draw([at, accepted, confirmed], from, to);
    charts["latency"]?.draw([at, p50, p90, p99], from, to);
    charts["landed"]?.draw([at, landed], from, to);
    drawPrices();
  }

  function drawPrices() {
    const to = context.now() / 1000;
    const from = to - minutes * 60;
    const { venues, at, behind } = prices.columns(from * 1000, (minutes * 60_000) / PRICE_POINTS);
    charts["prices"]?.rename(venues);
    charts["prices"]?.draw([at, ...behind], from, to);
  }

  /** What the venues quoted for the newest orders, before this page heard of any. */
  async function seed() {
    for (const id of context.orders.newest().slice(0, SEEDS)) {
      if (ended) return;
      const order = await context.api.get(`/api/orders/${id}`);
      for (const event of order.events) prices.addEvent(event, order.mode);
    }
    if (!ended) drawPrices();
  }

  const resized = () => Object.values(charts).forEach((chart) => chart.resize());
  window.addEventListener("resize", resized);
  void read();
  return {
    update: () => {
      if (prices.isSeeded || context.orders.newest().length === 0) return;
      prices.isSeeded = true;
      seed().catch((error) => {
        if (!(error instanceof Problem)) throw error; // the chart begins with what comes now
      });
    },
    unmount: () => {
      ended = true;
      clearTimeout(timer);
      window.removeEventListener("resize", resized);
      for (const chart of Object.values(charts)) chart.destroy();
    },
  };
}

/** @param {unknown} error */
function noQuotes(error) {
  if (error instanceof Problem) return null; // a gap in the chart
  throw error;
}
