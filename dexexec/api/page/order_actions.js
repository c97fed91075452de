// What a person can do with an order that is not over: cancel it, change it while it rests, and sign it.

import { ChangeForm } from "./change_form.js";
import { el } from "./dom.js";
import { shortId } from "./format.js";
import { changedFields } from "./order_change.js";
import { mayBeCancelled } from "./orders_store.js";
import { mayTrade } from "./scopes.js";
import { Problem } from "./session.js";
import { SignForm } from "./sign_form.js";

/** The newest transaction that waits for the client's signature. @param {any} order */
function handedOut(order) {
  const last = order.events.at(-1);
  return last?.waitsFor === "signature" && last.transaction ? last : null;
}

export class OrderActions {
  /**
   * @param {import("./types.js").Context} context
   * @param {() => void} reread
   */
  constructor(context, reread) {
    this._context = context;
    this._reread = reread;
    this.element = el("div", { class: "stack" });
    /** @type {ChangeForm | null} */
    this._change = null;
    /** @type {SignForm | null} */
    this._sign = null;
  }

  /** @param {any} order */
  draw(order) {
    const handout = mayTrade(this._context) && order.status === "waiting" ? handedOut(order) : null;
    if (handout) {
      this._sign ??= this._added(new SignForm(this._context, order.orderId, this._reread));
      this._sign.draw(handout);
    } else this._sign = removed(this._sign);
    const rests = mayTrade(this._context) && order.status === "waiting" && !handout && changedFields(order).length > 0;
    if (rests) {
      this._change ??= this._added(new ChangeForm(this._context, order, this._reread));
      this._change.draw(order);
    } else this._change = removed(this._change);
  }

  /**
   * @template {{element: HTMLElement}} T
   * @param {T} form
   * @returns {T}
   */
  _added(form) {
    this.element.append(form.element);
    return form;
  }
}

/** @param {{element: HTMLElement} | null} form */
function removed(form) {
  form?.element.remove();
  return null;
}

/**
 * @param {any} order
 * @param {import("./types.js").Context} context
 */
export function cancelButton(order, context) {
  if (!mayTrade(context) || !mayBeCancelled(order)) return null;
  return el("button", { type: "button", class: "small", data: { part: "cancel" }, on: { click: () => void cancel(order.orderId, context) } }, "Cancel");
}

/**
 * @param {string} id
 * @param {import("./types.js").Context} context
 */
async function cancel(id, context) {
  try {
    await context.api.delete(`/api/orders/${id}`);
    context.announce(`Order ${shortId(id)} is cancelled`);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    context.announce(`Order ${shortId(id)} was not cancelled: ${error.message}`);
  }
}
