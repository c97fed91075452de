// The first view: the order form, live quotes beside it, and the newest orders.

import { el } from "./dom.js";
import * as orderForm from "./order_form.js";
import * as ordersList from "./orders_list.js";
import * as quotesTable from "./quotes_table.js";

/** @type {import("./types.js").Mount} */
export function mount(container, context) {
  const formPart = el("section", { class: "panel form-panel", "aria-labelledby": "form-title" });
  const quotesPart = el("section", { class: "panel", "aria-labelledby": "quotes-title" });
  const ordersPart = el("section", { class: "panel orders-panel", "aria-labelledby": "orders-title" });
  container.append(
    el("p", { class: "intro" }, "Takes orders for swaps on Solana's exchanges, compares every venue's quote, and executes each order exactly once."),
    el("div", { class: "trade" }, formPart, el("div", { class: "trade-side" }, quotesPart, ordersPart)),
  );
  const quotes = quotesTable.mount(quotesPart, context);
  const parts = [
    orderForm.mount(formPart, context, { onRequest: quotes.request, onChange: quotes.outdate }),
    quotes,
    ordersList.mount(ordersPart, context),
  ];
  return {
    update: () => parts.forEach((part) => part.update()),
    unmount: () => parts.forEach((part) => part.unmount()),
  };
}
