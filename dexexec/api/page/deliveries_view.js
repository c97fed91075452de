// Webhooks, and the deliveries that failed for good, which can be sent again.

import { el, scrolled, setText } from "./dom.js";
import { patch } from "./dom_patch.js";
import { dateTime, shortId } from "./format.js";
import { mayTrade } from "./scopes.js";
import { Problem } from "./session.js";

const EVERY_MS = 5_000;
const SHOWN = 50;

/** @type {import("./types.js").Mount} */
export function mount(container, context) {
  const webhooks = el("tbody");
  const failed = el("tbody");
  const note = el("p", { class: "hint", role: "status" });
  const heading = el("h2", { tabindex: -1 }, "Webhooks");
  const none = el("p", { class: "empty" }, "Reading …");
  const noneFailed = el("p", { class: "empty" }, "No delivery has failed.");
  const list = scrolled("Webhooks", table("Webhooks", ["Name", "Host", "Events", "State", "Waiting", "Failed", ""], webhooks));
  const deliveries = scrolled("Failed deliveries", table("Failed deliveries", ["Webhook", "Event", "Order", "Tries", "Given up", "Last answer", ""], failed));
  list.hidden = true;
  deliveries.hidden = true;
  container.append(el("div", { class: "stack" },
    el("section", { class: "panel" }, el("div", { class: "panel-head" }, heading, note), list, none),
    el("section", { class: "panel" }, el("h2", { class: "panel-head" }, "Failed deliveries"), deliveries, noneFailed),
  ));
  if (!mayTrade(context)) {
    setText(none, "A key with the scope trade sees its webhooks: a URL may be a secret.");
    return { update: () => {}, unmount: () => {} };
  }
  let timer = 0;
  let ended = false;
  let drawn = "";

  async function read() {
    clearTimeout(timer);
    try {
      if (!document.hidden) await readAll();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setText(none, error.message);
    } finally {
      if (!ended) timer = window.setTimeout(() => void read(), EVERY_MS);
    }
  }

  async function readAll() {
    const { webhooks: listed } = await context.api.get("/api/webhooks");
    const lists = await Promise.all(listed.filter((/** @type {any} */ webhook) => webhook.failed > 0).map(async (/** @type {any} */ webhook) => {
      const answer = await context.api.get(`/api/webhooks/${webhook.id}/deliveries?state=failed&limit=${SHOWN}`);
      return answer.deliveries.map((/** @type {any} */ delivery) => ({ webhook, delivery }));
    }));
    const now = JSON.stringify([listed, lists]);
    // A button keeps the focus while nothing has changed.
    if (ended || now === drawn) return;
    drawn = now;
    draw(listed, lists.flat());
  }

  /**
   * @param {any[]} listed
   * @param {{webhook: any, delivery: any}[]} lost
   */
  function draw(listed, lost) {
    list.hidden = listed.length === 0;
    none.hidden = listed.length > 0;
    setText(none, "No webhooks. Make one with POST /api/webhooks, or with the command dexexec webhooks add.");
    patch(webhooks, listed.map((webhook) => el("tr", { data: { part: `webhook ${webhook.id}` } },
      el("th", { scope: "row" }, webhook.name), el("td", null, host(webhook.url)),
      el("td", { class: "wrap" }, webhook.statuses?.join(", ") ?? "all"), el("td", { class: "wrap" }, state(webhook)),
      el("td", { class: "num" }, webhook.waiting), el("td", { class: "num" }, webhook.failed),
      el("td", { class: "num" }, webhook.failed > 0 && webhook.enabled && again(`Send all of ${webhook.name} again`, webhook, null)))));
    deliveries.hidden = lost.length === 0;
    noneFailed.hidden = lost.length > 0;
    patch(failed, lost.map(({ webhook, delivery }) => el("tr", { data: { part: `delivery ${delivery.id}` } },
      el("th", { scope: "row" }, webhook.name), el("td", null, delivery.type, delivery.seq !== null && el("span", { class: "muted" }, ` seq ${delivery.seq}`)),
      el("td", null, delivery.orderId ? el("a", { href: `#/orders/${delivery.orderId}`, class: "mono" }, shortId(delivery.orderId)) : "a test"),
      el("td", { class: "num" }, delivery.tries), el("td", null, dateTime(delivery.endedAt)), el("td", { class: "wrap" }, delivery.answer ?? ""),
      el("td", { class: "num" }, webhook.enabled && again(`Send delivery ${delivery.id} again`, webhook, delivery.id)))));
  }

  /**
   * @param {string} name
   * @param {any} webhook
   * @param {number | null} delivery null: all that failed.
   */
  function again(name, webhook, delivery) {
    return el("button", { type: "button", class: "small", "aria-label": name, on: { click: () => void resend(webhook, delivery) } }, "Send again");
  }

  /**
   * @param {any} webhook
   * @param {number | null} delivery
   */
  async function resend(webhook, delivery) {
    try {
      await context.api.post(`/api/webhooks/${webhook.id}/resend`, delivery === null ? {} : { deliveries: [delivery] });
      setText(note, `Deliveries to ${webhook.name} are sent again.`);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setText(note, `Not sent again: ${error.message}`);
    }
    await read();
    // The button may have gone with its row.
    if (!ended && document.activeElement === document.body) heading.focus();
  }

  void read();
  return {
    update: () => {},
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
  const head = columns.map((column) => el("th", { scope: "col", class: /Waiting|Failed|Tries/.test(column) ? "num" : null },
    column || el("span", { class: "visually-hidden" }, "Send again")));
  return el("table", { class: "data", "aria-label": name }, el("thead", null, el("tr", null, head)), body);
}

/**
 * The rest of a URL may be a secret, and this screen may be seen by others.
 * @param {string} url
 */
function host(url) {
  return URL.canParse(url) ? new URL(url).host : "–";
}

/** @param {any} webhook */
function state(webhook) {
  if (!webhook.enabled) return [el("span", { class: "chip", data: { status: "bad" } }, "disabled"), ` ${webhook.disabledWhy ?? ""}`];
  if (webhook.failingSince) return [el("span", { class: "chip", data: { status: "warn" } }, "failing"), ` since ${dateTime(webhook.failingSince)}`];
  return el("span", { class: "chip", data: { status: "ok" } }, "in use");
}
