// The newest orders, as they move through their stages. A row changes in place, and only when its order has.

import { el, setAttribute, setText } from "./dom.js";
import { patch } from "./dom_patch.js";
import { amount, dateTime, duration, grouped, moment, ofOrder, shortId } from "./format.js";
import { mayBeCancelled } from "./orders_store.js";
import { mayTrade } from "./scopes.js";
import { Problem } from "./session.js";

/** @typedef {import("./types.js").Order} Order */

const PAGE = 50;
const STAGES = ["pending", "routing", "building", "submitted", "confirmed"];

/** @type {import("./types.js").Mount} */
export function mount(container, context) {
  const body = el("tbody");
  const count = el("p", { class: "hint" });
  const problem = el("p", { class: "field-problem", role: "alert" });
  const empty = el("p", { class: "empty" }, "No orders yet. Place the first one with the form: it takes a second.");
  const table = el(
    "table", { class: "data orders", "aria-labelledby": "orders-title" },
    el("thead", null, el("tr", null,
      ["Order", "At", "What", "Stage", "Fill", "Venue", "Took"].map((name) =>
        el("th", { scope: "col", class: name === "Fill" || name === "Took" ? "num" : null }, name,
          // An order that can be cancelled has taken no time yet, so both share a column.
          name === "Took" && el("span", { class: "visually-hidden" }, ", or cancel"))),
    )),
    body,
  );
  let shown = PAGE;
  const more = el("button", { type: "button", class: "small", hidden: true, on: { click: () => void showMore() } }, "Show more");
  container.append(
    el("div", { class: "panel-head" }, el("h2", { id: "orders-title" }, "Orders"), count),
    problem, el("div", { class: "scroll" }, table), empty, more,
  );
  /** @type {Map<string, OrderRow>} */
  const rows = new Map();
  let drawn = -1;

  async function showMore() {
    shown += PAGE;
    context.redraw();
    try {
      if (context.orders.newest().length < shown) await context.readOlder();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setText(problem, `Older orders were not read: ${error.message}`);
    }
  }

  /** @param {string} id */
  async function cancel(id) {
    setText(problem, "");
    try {
      await context.api.delete(`/api/orders/${id}`);
      context.announce(`Order ${shortId(id)} is cancelled`);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setText(problem, `Order ${shortId(id)} was not cancelled: ${error.message}`);
      rows.get(id)?.enable();
    }
  }

  return {
    update: () => {
      if (drawn === context.orders.version * 1000 + shown) return;
      // While a pointer or the focus is on a cancel button, no row moves away below it.
      const held = body.querySelector("button:hover, button:focus-visible") !== null;
      const ids = held ? [...rows.keys()] : context.orders.newest().slice(0, shown);
      if (!held) drawn = context.orders.version * 1000 + shown;
      // A row with the focus stays, also when newer ones have taken its place.
      const focused = [...rows].find(([, { element }]) => element.contains(document.activeElement))?.[0];
      if (focused && !ids.includes(focused)) ids.push(focused);
      const wanted = new Set(ids);
      for (const [id, row] of rows) {
        if (wanted.has(id)) continue;
        row.element.remove();
        rows.delete(id);
      }
      let place = body.firstElementChild;
      for (const id of ids) {
        const order = context.orders.get(id);
        if (!order) continue;
        let row = rows.get(id);
        if (!row) rows.set(id, (row = new OrderRow(id, context, cancel)));
        row.draw(order);
        if (row.element === place) place = place.nextElementSibling;
        else if (!held) body.insertBefore(row.element, place);
      }
      const kept = context.orders.newest().length;
      setText(count, kept > ids.length || context.hasOlder() ? `the newest ${ids.length}` : "");
      empty.hidden = kept > 0;
      table.hidden = kept === 0;
      more.hidden = kept <= shown && !context.hasOlder();
    },
    unmount: () => rows.clear(),
  };
}

class OrderRow {
  /**
   * @param {string} id
   * @param {import("./types.js").Context} context
   * @param {(id: string) => Promise<void>} cancel
   */
  constructor(id, context, cancel) {
    this._context = context;
    this._drawn = "";
    this._at = el("td", { class: "muted" });
    this._what = el("td");
    this._chip = el("span", { class: "chip" });
    this._stages = el("span", { class: "stages", "aria-hidden": "true" }, STAGES.map(() => el("i")));
    this._fill = el("td", { class: "num" });
    this._venue = el("td");
    this._took = el("span");
    this._button = el("button", {
      type: "button", class: "small", "aria-label": `Cancel order ${shortId(id)}`, hidden: true,
      on: { click: () => { setAttribute(this._button, "aria-disabled", "true"); void cancel(id); } },
    }, "Cancel");
    this._link = el("a", { href: `#/orders/${id}`, class: "mono", title: id }, shortId(id));
    this.element = el("tr", null,
      el("th", { scope: "row" }, this._link),
      this._at, this._what, el("td", null, el("div", { class: "stage" }, this._stages, this._chip)),
      this._fill, this._venue, el("td", { class: "num" }, this._took, this._button),
    );
  }

  enable() {
    setAttribute(this._button, "aria-disabled", null);
  }

  /** @param {Order} order */
  draw(order) {
    const drawn = `${order.seq} ${order.status} ${order["amount"]} ${order["txHash"]}`;
    if (drawn === this._drawn) return;
    this._drawn = drawn;
    const { token } = this._context;
    const isBuy = order["side"] !== "sell";
    const [input, output] = [ofOrder(token(order["inputMint"]), order), ofOrder(token(order["outputMint"]), order)];
    const [spent, received] = isBuy ? [input, output] : [output, input];
    setText(this._at, moment(order.createdAt, Date.now()));
    setAttribute(this._at, "title", dateTime(order.createdAt));
    if (order["side"]) {
      const counted = order["mode"] === "exactOut" ? received : spent;
      const size = /^[\d.]+$/.test(order["amount"]) ? grouped(order["amount"]) : order["amount"];
      const kind = order["trailBps"] ? "trailing" : order["triggerPrice"] && order["type"] !== "limit" ? "stop" : order["type"];
      patch(this._what,
        // What is bought or sold is the output token: the amount is of it, or of what is paid for it.
        el("span", { class: isBuy ? "buy" : "sell" }, isBuy ? "Buy" : "Sell"),
        counted === output ? ` ${size} ${output.symbol} for ${input.symbol}` : ` ${output.symbol} for ${size} ${input.symbol}`,
        kind && kind !== "market" ? el("span", { class: "tag" }, kind) : null,
        order["dryRun"] ? el("span", { class: "tag" }, "dry run") : null,
      );
    }
    this._chip.dataset["status"] = order.status;
    setText(this._chip, order.status);
    const reason = order["failureReason"] ?? (order.status === "failed" ? order["reason"] : null);
    setAttribute(this._chip, "title", reason ?? null);
    this._stages.dataset["stage"] = String(STAGES.indexOf(order.status) + 1);
    this._stages.dataset["status"] = order.status;
    setText(this._fill, order["amountOut"] && isFilled(order) ? amount(order["amountOut"], received) : order["payer"] && order.status === "waiting" ? "your signature" : reason ?? "");
    setText(this._venue, order["venue"] ?? "");
    const took = order["finishedAt"] ? Date.parse(order["finishedAt"]) - Date.parse(order.createdAt ?? "") : null;
    setText(this._took, took === null || Number.isNaN(took) ? "" : duration(took));
    const mayCancel = mayBeCancelled(order) && mayTrade(this._context);
    if (!mayCancel && document.activeElement === this._button) this._link.focus();
    this._button.hidden = !mayCancel;
  }
}

/** @param {Order} order */
function isFilled(order) {
  return order.status === "confirmed" || order.status === "simulated";
}
