// Changes an order that rests, under the version that is shown.

import { el, fill, setAttribute, setText } from "./dom.js";
import { drawProblems } from "./field_problems.js";
import { formField } from "./form_field.js";
import { fieldUnits } from "./order_body.js";
import { changeBody, changedFields, valueOf } from "./order_change.js";
import { FIELDS } from "./order_kinds.js";
import { Problem } from "./session.js";

export class ChangeForm {
  /**
   * @param {import("./types.js").Context} context
   * @param {any} order
   * @param {() => void} reread Reads the order anew.
   */
  constructor(context, order, reread) {
    this._context = context;
    this._order = order;
    this._reread = reread;
    /** What a person has typed, by field. @type {Map<string, string>} */
    this._values = new Map();
    /** @type {Map<string, import("./form_field.js").FormField>} */
    this._fields = new Map();
    this._list = el("div", { class: "fields" });
    this._result = el("p", { class: "result", "aria-live": "polite" });
    this._button = el("button", { type: "submit", class: "primary" }, "Change the order");
    this._busy = false;
    const form = el("form", { class: "order-form change-form", "aria-label": "Change the order", novalidate: true, on: { submit: (event) => void this._submit(event) } },
      this._list, this._button, this._result);
    this.element = el("section", { class: "panel" }, el("details", null, el("summary", null, "Change this order"), form));
    this._drawFields();
  }

  /** @param {any} order The newest state of the same order. */
  draw(order) {
    const isSame = changedFields(order).join() === changedFields(this._order).join();
    this._order = order;
    if (!isSame) this._drawFields();
    // What is typed stays, and what is not follows the order.
    for (const field of this._fields.values()) if (!this._values.has(field.name)) field.setValue(valueOf(order, field.name));
  }

  _drawFields() {
    const names = changedFields(this._order);
    this._fields = new Map(names.map((name) => [name, formField(name, {
      value: this._values.get(name) ?? valueOf(this._order, name),
      required: false,
      choices: {},
      onInput: (changed, value) => this._values.set(changed, value),
    })]));
    const [input, output] = [this._order.inputMint, this._order.outputMint].map((mint) => this._context.token(mint).symbol);
    const unit = fieldUnits(this._order, input ?? "", output ?? "");
    for (const field of this._fields.values()) field.setUnit(unit(field.name));
    fill(this._list, [...this._fields.values()].map(({ element }) => element));
  }

  /** @param {SubmitEvent} event */
  async _submit(event) {
    event.preventDefault();
    if (this._busy) return;
    const body = changeBody(this._order, this._values);
    if (Object.keys(body).length === 0) {
      this._drawResult("", "Nothing is different.");
      return;
    }
    this._setBusy(true);
    try {
      const { changed } = await this._context.api.patch(`/api/orders/${this._order.orderId}`, body, this._order.seq);
      this._values.clear();
      drawProblems(this._fields, null);
      this._drawResult("good", `Changed: ${Object.keys(changed).map((name) => FIELDS[name]?.label ?? name).join(", ") || "nothing was different"}`);
      this._reread();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const { first, others } = drawProblems(this._fields, error);
      first?.focus();
      this._drawResult("bad", error.code === "version-mismatch" ? "The order has changed meanwhile. Look at its new values, and change it again." : others);
      if (error.fields.length === 0) this._reread();
    } finally {
      this._setBusy(false);
    }
  }

  /**
   * @param {string} tone
   * @param {string} text
   */
  _drawResult(tone, text) {
    this._result.className = `result ${tone}`;
    setText(this._result, text);
  }

  /** @param {boolean} busy */
  _setBusy(busy) {
    this._busy = busy;
    setAttribute(this._button, "aria-disabled", busy ? "true" : null);
  }
}
