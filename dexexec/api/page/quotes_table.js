// Every venue's quote for the order in the form, side by side, read anew every two seconds.

import { el, setText } from "./dom.js";
import { patch } from "./dom_patch.js";
import { amount, bps, duration, grouped } from "./format.js";
import { aheadOf, compared } from "./quote_comparison.js";
import { Problem } from "./session.js";

const EVERY_MS = 2_000;
const AGE_EVERY_MS = 500;
const REQUESTING = "Requesting quotes …";

/**
 * @param {HTMLElement} container
 * @param {import("./types.js").Context} context
 * @returns {import("./types.js").View & {request: (request: Record<string, string> | null, reason: string) => void, outdate: (next: Record<string, string> | null) => void}}
 * `request` reads the quotes of these parameters from now on, or shows why there are none. `outdate` marks those that are
 * shown as of another order, until `request`.
 */
export function mount(container, context) {
  const net = el("th", { scope: "col", class: "num" }, "You get, net");
  const body = el("tbody");
  const empty = el("p", { class: "empty" });
  const verdict = el("p", { class: "verdict" });
  const table = el(
    "table", { class: "data quotes", "aria-labelledby": "quotes-title" },
    el("thead", null, el("tr", null,
      el("th", { scope: "col" }, "Venue"), net, el("th", { scope: "col", class: "num" }, "Price"),
      el("th", { scope: "col", class: "num" }, "Fees"), el("th", { scope: "col", class: "num" }, "Impact"),
      el("th", { scope: "col", class: "num" }, "Age"), el("th", { scope: "col", class: "num" }, "Against the best"),
    )),
    body,
  );
  // It can be scrolled by keyboard on a narrow screen.
  const frame = el("div", { class: "scroll", role: "group", "aria-labelledby": "quotes-title", tabindex: 0, hidden: true }, table);
  container.append(
    el("div", { class: "panel-head" }, el("h2", { id: "quotes-title" }, "Quotes"), verdict),
    frame, empty,
  );
  /** @type {Record<string, string> | null} */
  let wanted = null;
  let timer = 0;
  let round = 0;
  let sentence = "";
  /** The parameters of the quotes that are shown, and those of the form, as text. */
  let shownFor = "";
  let wantedText = "";

  const ageTimer = window.setInterval(drawAges, AGE_EVERY_MS);
  document.addEventListener("visibilitychange", resumed);

  function resumed() {
    if (!document.hidden && wanted) void read();
  }

  function drawAges() {
    for (const cell of body.querySelectorAll("td[data-at]")) setText(cell, age(Number(/** @type {HTMLElement} */ (cell).dataset["at"])));
  }

  async function read() {
    clearTimeout(timer);
    if (!wanted || document.hidden) return;
    const asked = ++round;
    const text = JSON.stringify(wanted);
    try {
      const answer = await context.api.get(`/api/quote?${new URLSearchParams(wanted)}`);
      if (asked === round) {
        shownFor = text;
        draw(answer);
      }
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (asked === round) setText(verdict, `No new quotes: ${error.message}`);
    }
    if (asked === round) timer = window.setTimeout(() => void read(), EVERY_MS);
  }

  /** Marks the quotes of another order: they must not be taken for those of the form. */
  function mark() {
    const isOld = shownFor !== wantedText;
    frame.classList.toggle("old", isOld);
    setText(verdict, isOld ? REQUESTING : sentence);
  }

  /** @param {any} answer */
  function draw(answer) {
    const [size] = answer.quotes;
    const exactIn = answer.mode === "exactIn";
    const [input, output] = [answer.inputMint, answer.outputMint].map(context.token);
    if (!input || !output) return;
    const [spent, received] = answer.side === "buy" ? [input, output] : [output, input];
    const shown = exactIn ? received : spent;
    setText(net, exactIn ? "You get, net" : "You pay, net");
    sentence = aheadOf(size);
    mark();
    const now = Date.now();
    const rows = compared(size.venues, exactIn).map(({ quote, behindBps }) => {
      if (quote.net === undefined) {
        return el("tr", null, el("th", { scope: "row" }, quote.venue), el("td", { colspan: 6, class: "wrap muted" }, quote.detail ?? quote.reason));
      }
      const at = now - quote.elapsedMs;
      const fees = [quote.fee && amount(quote.fee, context.token(quote.feeMint)), quote.networkFee && amount(quote.networkFee, { mint: "", symbol: "SOL", decimals: 9 })];
      const tip = quote.tip && quote.tip !== "0" ? ` and ${amount(quote.tip, { mint: "", symbol: "SOL", decimals: 9 })} tip` : "";
      const lost = !quote.selected && quote.reason !== "worse-price" ? quote.detail ?? quote.reason : null;
      return el("tr", { class: quote.selected ? "best" : null },
        el("th", { scope: "row" }, quote.venue, lost && el("span", { class: "why muted" }, lost)),
        el("td", { class: "num strong" }, amount(quote.net, shown)),
        el("td", { class: "num" }, quote.price ? grouped(quote.price) : "–"),
        el("td", { class: "num" }, fees.filter(Boolean).join(" + ") + tip),
        el("td", { class: "num" }, bps(quote.priceImpactBps)), el("td", { class: "num", data: { at: String(at) } }, age(at)),
        el("td", { class: "num" }, quote.selected ? el("span", { class: "chip", data: { status: "ok" } }, "best") : behindBps === null ? "–" : `−${bps(behindBps)}`),
      );
    });
    patch(body, rows);
    frame.hidden = false;
    empty.hidden = true;
  }

  return {
    request: (request, reason) => {
      const isSame = request !== null && JSON.stringify(request) === JSON.stringify(wanted);
      wantedText = JSON.stringify(request);
      if (!frame.hidden) mark();
      if (isSame) return;
      wanted = request;
      round += 1;
      clearTimeout(timer);
      if (request) {
        setText(empty, REQUESTING);
        void read();
      } else {
        setText(empty, reason);
        setText(verdict, "");
        empty.hidden = false;
        frame.hidden = true;
      }
    },
    outdate: (next) => {
      wantedText = JSON.stringify(next);
      if (!frame.hidden) mark();
    },
    update: () => {},
    unmount: () => {
      wanted = null;
      round += 1;
      clearTimeout(timer);
      clearInterval(ageTimer);
      document.removeEventListener("visibilitychange", resumed);
    },
  };
}

/**
 * @param {number} at
 * @returns {string}
 */
function age(at) {
  return duration(Math.max(0, Date.now() - at));
}
