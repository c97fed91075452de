// One order's story: its stages, quotes, attempts, the fill against the quote, and what happened in sentences.

import { copyButton } from "./copying.js";
import { el, scrolled } from "./dom.js";
import { patch } from "./dom_patch.js";
import { amount, bps, clock, dateTime, duration, grouped, ofOrder, shortId } from "./format.js";
import { OrderActions, cancelButton } from "./order_actions.js";
import { attemptsTable } from "./order_attempts.js";
import { Problem } from "./session.js";
import { stageBar } from "./stage_bar.js";

const PAUSE_MS = 250;
const RETRY_MS = 2_000;

/** @type {import("./types.js").Mount} */
export function mount(container, context) {
  const id = context.parameters[0] ?? "";
  const title = `Order ${shortId(id)}`;
  const head = el("div", { class: "story-head" });
  const body = el("div", { class: "story" }, el("p", { class: "empty" }, "Reading …"));
  const actions = new OrderActions(context, () => soon(0));
  container.append(el("section", { class: "story", "aria-label": title }, head, actions.element, body));
  let timer = 0;
  let reading = false;
  let again = false;
  let ended = false;
  let drawn = false;

  async function read() {
    if (ended) return;
    reading = true;
    again = false;
    let retry = false;
    try {
      const path = `/api/orders/${encodeURIComponent(id)}`;
      const [order, explained] = await Promise.all([context.api.get(path), context.api.get(`${path}/explain`)]);
      if (ended) return;
      drawHead(el("span", { class: "chip", data: { status: order.status } }, order.status), cancelButton(order, context));
      actions.draw(order);
      // In place: who reads, has marked a line or has scrolled a table is not disturbed by the next event.
      patch(body, draw(order, explained, context));
      drawn = true;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (ended) return;
      // An older story is worth more than the sentence of an error.
      if (!drawn) patch(body, el("p", { class: "empty" }, error.message));
      if (isPassing(error)) retry = true;
    } finally {
      reading = false;
      if (again) soon();
      else if (retry) soon(RETRY_MS);
    }
  }

  /** @param {...(Node | null)} more */
  function drawHead(...more) {
    patch(head, el("a", { href: "#/" }, "← Orders"), el("h2", { title: id }, title), more);
  }

  /** Reads once for many events: an order may have ten within a second. */
  function soon(pause = PAUSE_MS) {
    again = true;
    if (reading) return;
    clearTimeout(timer);
    timer = window.setTimeout(() => void read(), pause);
  }

  const stopListening = context.onEvent((event) => {
    if (event.orderId === id) soon();
  });
  // Of events that were missed the store has the number, since the list is read anew then.
  let seq = 0;
  drawHead();
  void read();
  return {
    update: () => {
      const now = context.orders.get(id)?.seq ?? 0;
      if (now > seq) soon();
      seq = now;
    },
    unmount: () => {
      ended = true;
      clearTimeout(timer);
      stopListening();
    },
  };
}

/**
 * Whether the same request may soon be answered: no answer came, or the service is busy or stopping.
 * @param {Problem} problem
 */
function isPassing({ status }) {
  return status === 0 || status === 429 || status >= 500;
}

/**
 * @param {any} order
 * @param {any} explained
 * @param {import("./types.js").Context} context
 */
function draw(order, explained, context) {
  const explorer = context.overview()?.network.explorer ?? null;
  const [spent, received] = direction(order, context);
  return [
    el("section", { class: "panel" },
      el("p", { class: "summary" }, explained.summary),
      explained.advice && el("p", { class: "notice" }, explained.advice),
      stageBar(explained.stages, context.now()),
    ),
    el("div", { class: "story-columns" },
      el("section", { class: "panel" }, el("h3", null, "Quoted and realised"), comparison(order, spent, received)),
      el("section", { class: "panel" }, el("h3", null, "The order"), facts(order, spent, received)),
    ),
    el("section", { class: "panel" }, el("h3", null, "Quotes"), quotes(order, order.mode === "exactOut" ? spent : received)),
    el("section", { class: "panel" }, el("h3", null, "Attempts"),
      order.attempts.length ? attemptsTable(order.attempts, explorer) : el("p", { class: "empty" }, "Nothing was signed.")),
    order.children?.length ? el("section", { class: "panel", data: { part: "children" } }, el("h3", null, "Orders that it made"), children(order.children)) : null,
    el("section", { class: "panel" }, el("h3", null, "What happened"), el("ol", { class: "sentences" },
      explained.sentences.map((/** @type {any} */ sentence) => el("li", null,
        el("span", { class: "mono muted" }, clock(sentence.at, { milliseconds: true })), el("span", null, sentence.text))))),
  ];
}

/**
 * @param {any} order
 * @param {import("./types.js").Context} context
 */
function direction(order, context) {
  const input = ofOrder(context.token(order.inputMint), order);
  const output = ofOrder(context.token(order.outputMint), order);
  return order.side === "sell" ? /** @type {const} */ ([output, input]) : /** @type {const} */ ([input, output]);
}

/**
 * @param {any} order
 * @param {import("./format.js").Token} spent
 * @param {import("./format.js").Token} received
 */
function comparison(order, spent, received) {
  const filled = order.fill;
  if (!filled) return el("p", { class: "empty" }, "Nothing was swapped yet.");
  const rows = [
    ["At acceptance", filled.quotedIn, filled.quotedOut, filled.slippageBps],
    ["When it was built", filled.venueQuotedIn, filled.venueQuotedOut, filled.venueSlippageBps],
    [filled.simulated ? "Simulated" : "Realised", filled.amountIn, filled.amountOut, null],
  ];
  const table = el("table", { class: "data", "aria-label": "Quoted and realised" },
    el("thead", null, el("tr", null, el("th", { scope: "col" }, "Which"), ["Spent", "Received", "Slippage"].map((name) => el("th", { scope: "col", class: "num" }, name)))),
    el("tbody", null, rows.map(([name, paid, got, slippage]) => el("tr", null,
      el("th", { scope: "row" }, name), el("td", { class: "num" }, amount(paid, spent)), el("td", { class: "num" }, amount(got, received)),
      el("td", { class: "num" }, slippage === null || slippage === undefined ? "" : bps(slippage))))),
  );
  return el("div", null, scrolled("Quoted and realised", table), el("p", { class: "hint" }, "Slippage is the fill against that quote. Below zero is a better price."));
}

/**
 * @param {any} order
 * @param {import("./format.js").Token} spent
 * @param {import("./format.js").Token} received
 */
function facts(order, spent, received) {
  const size = /^[\d.]+$/.test(order.amount) ? `${grouped(order.amount)} ${order.mode === "exactOut" ? received.symbol : spent.symbol}` : order.amount;
  const cost = order.cost?.lamports === undefined ? null : amount(order.cost.lamports, { mint: "", symbol: "SOL", decimals: 9 });
  /** @type {[string, any][]} */
  const entries = [
    ["Id", [el("span", { class: "mono" }, order.orderId), " ", copyButton(order.orderId, "the order's id")]], ["Kind", order.type], ["Swap", `${order.side} ${size}, ${spent.symbol} to ${received.symbol}`],
    ["At least", order.minOut && amount(order.minOut, received)], ["At most", order.maxIn && amount(order.maxIn, spent)],
    ["Limit price", order.limitPrice], ["Trigger", order.triggerPrice && `${order.triggerWhen} ${order.triggerPrice}`],
    ["Trail", order.trailBps && bps(order.trailBps)], ["Network cost", cost], ["Tag", order.tag], ["Wallet", order.wallet], ["Payer", order.payer && [el("span", { class: "mono" }, order.payer), " ", copyButton(order.payer, "the payer's address")]],
    ["Created", dateTime(order.createdAt)], ["Expires", order.expiresAt && dateTime(order.expiresAt)],
    ["Took", order.finishedAt && duration(Date.parse(order.finishedAt) - Date.parse(order.createdAt))],
    ["Part of", order.parentId && el("a", { href: `#/orders/${order.parentId}`, class: "mono" }, shortId(order.parentId))],
    ["Waits for", order.waitingFor?.detail ?? order.waitingFor?.text],
  ];
  const known = entries.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el("dl", { class: "facts" }, known.flatMap(([name, value]) => [el("dt", null, name), el("dd", null, value)]));
}

/**
 * @param {any} order
 * @param {import("./format.js").Token} shown
 */
function quotes(order, shown) {
  if (!order.quotes.length) return el("p", { class: "empty" }, "No venue was requested yet.");
  const head = ["Round", "Venue", "Net", "Price", "Impact", "Why it lost"];
  /** @type {number[]} */
  const rounds = [...new Set(order.quotes.map((/** @type {any} */ quote) => quote.seq))];
  return scrolled("Quotes", el("table", { class: "data", "aria-label": "Quotes" },
    el("thead", null, el("tr", null, head.map((name) => el("th", { scope: "col", class: /Net|Price|Impact/.test(name) ? "num" : null }, name)))),
    el("tbody", null, order.quotes.map((/** @type {any} */ quote) => el("tr", null,
      el("td", null, rounds.indexOf(quote.seq) + 1), el("th", { scope: "row" }, quote.venue), el("td", { class: "num" }, amount(quote.net, shown)),
      el("td", { class: "num" }, quote.price ? grouped(quote.price) : "–"), el("td", { class: "num" }, bps(quote.priceImpactBps)),
      el("td", { class: "wrap" }, quote.selected ? el("span", { class: "chip", data: { status: "ok" } }, "best") : quote.detail ?? quote.reason ?? "")))),
  ));
}

/** @param {any[]} made */
function children(made) {
  return el("ul", { class: "sentences" }, made.map((child) => el("li", null,
    el("a", { href: `#/orders/${child.orderId}`, class: "mono" }, shortId(child.orderId)),
    el("span", { class: "chip", data: { status: child.status } }, child.status), el("span", null, `${child.role ?? child.type} ${child.amount}`))));
}
