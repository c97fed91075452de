// Venues, nodes, workers and the queue: whether an order posted now would be executed, and how well.

import { el, scrolled, setText } from "./dom.js";
import { patch } from "./dom_patch.js";
import { dateTime, duration, grouped, percent } from "./format.js";
import { Problem } from "./session.js";

const EVERY_MS = 5_000;
/** After a read that was refused. */
const RETRY_MS = 2_000;

/** @type {import("./types.js").Mount} */
export function mount(container, context) {
  const venues = el("tbody");
  const note = el("p", { class: "hint" });
  const quarantines = el("div", { class: "stack" });
  const endpoints = el("tbody");
  const sending = el("section", { class: "panel", hidden: true }, el("h2", { class: "panel-head" }, "Where transactions are sent"),
    scrolled("Endpoints", table("Endpoints", ["Endpoint", "Attempts", "Accepted", "Landed", "Land rate", "Slots to land, p50", "p90"], endpoints)));
  const queue = el("dl", { class: "facts" });
  const workers = el("tbody");
  const workersTable = scrolled("Workers", table("Workers", ["Worker", "State", "Orders", "Since"], workers));
  container.append(
    el("section", { class: "panel" }, el("div", { class: "panel-head" }, el("h2", null, "Venues"), note), quarantines,
      scrolled("Venues", table("Venues", ["Venue", "Network", "State", "Quote, p50", "p99", "Errors", "Wins", "Pools in memory"], venues))),
    sending,
    el("div", { class: "story-columns" },
      el("section", { class: "panel" }, el("h2", { class: "panel-head" }, "Queue and nodes"), queue),
      el("section", { class: "panel" }, el("h2", { class: "panel-head" }, "Workers"), workersTable)),
  );
  container.classList.add("stack");
  let timer = 0;
  let ended = false;
  let drawn = "";

  async function read() {
    clearTimeout(timer);
    let pauseMs = EVERY_MS;
    try {
      if (!document.hidden) draw(await context.api.get("/api/venues"));
      setText(note, "");
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      pauseMs = RETRY_MS;
      setText(note, `Not read: ${error.message}`);
    } finally {
      if (!ended) timer = window.setTimeout(() => void read(), pauseMs);
    }
  }

  /** @param {any} answer */
  function draw(answer) {
    patch(venues, answer.venues.map((/** @type {any} */ venue) => el("tr", null,
      el("th", { scope: "row" }, venue.venue), el("td", null, venue.network),
      el("td", null, breaker(venue), venue.lastError && el("span", { class: "muted" }, ` last: ${venue.lastError}`)),
      el("td", { class: "num" }, duration(venue.latencyMs?.p50)), el("td", { class: "num" }, duration(venue.latencyMs?.p99)),
      el("td", { class: "num" }, percent(venue.errorRate)), el("td", { class: "num" }, percent(venue.winShare)),
      el("td", null, pools(venue.pools)))));
    sending.hidden = !answer.endpoints?.length;
    patch(endpoints, (answer.endpoints ?? []).map((/** @type {any} */ endpoint) => el("tr", null,
      el("th", { scope: "row" }, endpoint.endpoint, endpoint.sendOnly && el("span", { class: "muted" }, " only sends")),
      [endpoint.attempts, endpoint.accepted, endpoint.landed].map((count) => el("td", { class: "num" }, count)),
      el("td", { class: "num" }, percent(endpoint.landRate)),
      el("td", { class: "num" }, endpoint.landingSlots?.p50 ?? "–"), el("td", { class: "num" }, endpoint.landingSlots?.p90 ?? "–"))));
  }

  void read();
  return {
    update: () => {
      const overview = context.overview();
      const now = JSON.stringify([overview?.queue, overview?.workers, overview?.nodes, overview?.quarantines]);
      if (!overview || now === drawn) return;
      drawn = now;
      patch(queue, facts({
        "Waiting for a worker": overview.queue ? grouped(String(overview.queue.length)) : "not known",
        "Oldest of them": overview.queue?.oldestMs ? duration(overview.queue.oldestMs) : "–",
        ...Object.fromEntries((overview.nodes ?? []).map((node) => [`Node ${node.name}`, lag(node)])),
      }));
      patch(quarantines, (overview.quarantines ?? []).map(({ venue, since, detail }) => el("p", { class: "notice" },
        el("strong", null, `${venue} gets no orders`), ` since ${dateTime(since)}: ${detail}`)));
      workersTable.hidden = !overview.workers;
      patch(workers, (overview.workers ?? []).map((worker) => el("tr", null,
        el("th", { scope: "row" }, worker.name),
        el("td", null, el("span", { class: "chip", data: { status: worker.alive ? "ok" : "bad" } }, worker.alive ? "alive" : "gone"), worker.trouble && ` ${worker.trouble}`),
        el("td", { class: "num" }, worker.orders), el("td", null, dateTime(worker.startedAt)))));
    },
    unmount: () => {
      ended = true;
      clearTimeout(timer);
    },
  };
}

/**
 * @param {string} name
 * @param {string[]} columns
 * @param {HTMLElement} body
 */
function table(name, columns, body) {
  const isNumber = /p50|p99|p90|Errors|Wins|Orders|Attempts|Accepted|Landed|rate/;
  const head = columns.map((column) => el("th", { scope: "col", class: isNumber.test(column) ? "num" : null }, column));
  return el("table", { class: "data", "aria-label": name }, el("thead", null, el("tr", null, head)), body);
}

/** @param {Record<string, string>} entries */
function facts(entries) {
  return Object.entries(entries).flatMap(([name, value]) => [el("dt", null, name), el("dd", null, value)]);
}

/** @param {any} node */
function lag(node) {
  const behind = node.lagSlots;
  if (behind === undefined || behind === null) return "no answer";
  return behind === 0 ? "up to date" : `${behind} slots behind`;
}

/** @param {any} venue */
function breaker(venue) {
  const words = /** @type {Record<string, string>} */ ({ closed: "in use", open: `left out for ${duration(venue.breakerOpenMs)}`, "half-open": "one request tries it" });
  return el("span", { class: "chip", data: { status: venue.breaker } }, words[venue.breaker] ?? venue.breaker);
}

/** @param {any[] | null | undefined} pools */
function pools(pools) {
  if (!pools?.length) return "–";
  const warm = pools.filter((pool) => pool.warm).length;
  return `${warm} of ${pools.length}`;
}
