// Hands out the transaction of an order whose client signs it, and takes the signed one.

import { copyButton } from "./copying.js";
import { el, setAttribute, setText } from "./dom.js";
import { patch } from "./dom_patch.js";
import { amount, grouped } from "./format.js";
import { Problem } from "./session.js";

const SOL = { mint: "", symbol: "SOL", decimals: 9 };

export class SignForm {
  /**
   * @param {import("./types.js").Context} context
   * @param {string} id
   * @param {() => void} reread Reads the order anew.
   */
  constructor(context, id, reread) {
    this._context = context;
    this._id = id;
    this._reread = reread;
    this._busy = false;
    this._about = el("div", { class: "stack" });
    this._signed = el("textarea", { id: "signed", rows: 4, required: true, spellcheck: "false", autocomplete: "off", class: "mono", "aria-describedby": "signed-problem" });
    this._problem = el("p", { class: "field-problem", id: "signed-problem", role: "alert" });
    this._button = el("button", { type: "submit", class: "primary" }, "Send the signed transaction");
    this.element = el("section", { class: "panel", "aria-label": "Your signature" },
      el("h3", null, "It waits for your signature"), this._about,
      el("form", { class: "order-form", "aria-label": "Signed transaction", novalidate: true, on: { submit: (event) => void this._submit(event) } },
        el("div", { class: "field" }, el("label", { for: "signed" }, "Signed transaction (base64)"), this._signed, this._problem), this._button));
  }

  /** @param {any} handout The event with the transaction. */
  draw({ transaction, attempt, venue, lastValidHeight, tipTransfer }) {
    patch(this._about,
      el("p", { class: "hint" }, "Sign it as it is with your own wallet: your signature goes into the first place. A wallet that adds a fee of its own changes it, and it is refused then."),
      el("dl", { class: "facts" },
        el("dt", null, "Attempt"), el("dd", null, `${attempt}, on ${venue}`),
        el("dt", null, "Valid until"), el("dd", null, `height ${grouped(String(lastValidHeight))}. After that there is another one to sign, until the order's deadline`),
        tipTransfer && [el("dt", null, "Tip"), el("dd", null, `${amount(tipTransfer.lamports ?? tipTransfer.amount, SOL)}, paid by your wallet with the swap`)]),
      el("div", { class: "transaction" }, el("code", { class: "transaction-text" }, transaction), copyButton(transaction, "the unsigned transaction")));
  }

  /** @param {SubmitEvent} event */
  async _submit(event) {
    event.preventDefault();
    if (this._busy) return;
    this._setBusy(true);
    try {
      await this._context.api.post(`/api/orders/${this._id}/signed`, { transaction: this._signed.value.replace(/\s/g, "") });
      this._drawProblem("");
      this._signed.value = "";
      this._context.announce("The signature is taken");
      this._reread();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const [field] = error.fields;
      this._drawProblem(field ? `The transaction ${field.problem}. Expected: ${field.expected}` : error.message);
      this._signed.focus();
      // Another transaction may be waiting by now.
      if (!field) this._reread();
    } finally {
      this._setBusy(false);
    }
  }

  /** @param {string} text */
  _drawProblem(text) {
    setText(this._problem, text);
    setAttribute(this._signed, "aria-invalid", text ? "true" : null);
  }

  /** @param {boolean} busy */
  _setBusy(busy) {
    this._busy = busy;
    setAttribute(this._button, "aria-disabled", busy ? "true" : null);
  }
}
