// The form for a new order: one kind at a time, checked as it is typed, placed once.

import { el, fill, setAttribute, setText } from "./dom.js";
import { drawProblems } from "./field_problems.js";
import { shortId } from "./format.js";
import { formField } from "./form_field.js";
import { fieldUnits, kindProblems, orderBody, quoteParameters } from "./order_body.js";
import { OrderCheck } from "./order_check.js";
import { FIELDS, KINDS } from "./order_kinds.js";
import { Placing } from "./placing.js";
import { mayTrade } from "./scopes.js";
import { Problem } from "./session.js";

/** @typedef {import("./form_field.js").FormField} FormField */

/**
 * `onRequest` gets the parameters of a quote once they are known to be right, or null and why there is none. `onChange`
 * gets them while they are checked.
 * @typedef {object} Hooks
 * @property {(request: Record<string, string> | null, reason: string) => void} onRequest
 * @property {(next: Record<string, string> | null) => void} onChange
 */

/** Fields with a value from the beginning. */
const CHOSEN = new Set(["side", "mode", "inputMint", "outputMint"]);
/** What was typed survives a look at another view, until the page is closed. @type {Map<string, string>} */
const values = new Map();
const UNTOUCHED = /** @type {const} */ ([["kind", "market"], ["side", "buy"], ["mode", "exactIn"]]);
/** Where nothing is at stake the first order is one click away, and its quotes are there at once. */
const PLAYGROUNDS = new Set(["simulated", "localnet"]);
const FIRST_AMOUNT = "0.01";
/** @type {Placing | null} */
let placing = null;
forget();

/** Forgets what was typed: the next key may be another person's. */
export function forget() {
  values.clear();
  for (const [name, value] of UNTOUCHED) values.set(name, value);
  placing?.abandon();
  placing = null;
}

/**
 * @param {HTMLElement} container
 * @param {import("./types.js").Context} context
 * @param {Hooks} hooks
 * @returns {import("./types.js").View}
 */
export function mount(container, context, hooks) {
  container.append(el("h2", { id: "form-title", class: "panel-head" }, "New order"));
  if (!mayTrade(context)) {
    container.append(el("p", { class: "hint" }, "This key may read, and place no orders. A key with the scope trade may."));
    hooks.onRequest(null, "Quotes appear beside the form of a key that may place orders.");
    return { update: () => {}, unmount: () => {} };
  }
  if (!values.has("amount") && PLAYGROUNDS.has(context.overview()?.network.kind ?? "")) values.set("amount", FIRST_AMOUNT);
  placing ??= new Placing(context.api);
  const form = new OrderForm(container, context, placing, hooks);
  return { update: () => {}, unmount: () => form.unmount() };
}

class OrderForm {
  /**
   * @param {HTMLElement} container
   * @param {import("./types.js").Context} context
   * @param {Placing} orders
   * @param {Hooks} hooks
   */
  constructor(container, context, orders, { onRequest, onChange }) {
    this._context = context;
    this._placing = orders;
    this._onRequest = onRequest;
    this._onChange = onChange;
    this._check = new OrderCheck(context.api, (body, verdict) => this._showVerdict(body, verdict));
    /** @type {Map<string, FormField>} */
    this._fields = new Map();
    /** Fields that a person has changed: only these have problems before the order is placed. @type {Set<string>} */
    this._touched = new Set();
    this._about = el("p", { class: "hint", id: "order-kind-about" });
    this._kindSelect = el(
      "select", { id: "order-kind", "aria-describedby": this._about.id, on: { change: () => this._changeKind() } },
      KINDS.map((kind) => el("option", { value: kind.id, selected: kind.id === values.get("kind") }, kind.label)),
    );
    this._main = el("div", { class: "fields" });
    this._more = el("div", { class: "fields" });
    this._details = el("details", null, el("summary", null, "More options"), this._more);
    this._result = el("p", { class: "result", "aria-live": "polite" });
    this._busy = false;
    // A double click is meant as one, and so is a key that is held down.
    const once = (/** @type {MouseEvent} */ event) => event.detail > 1 && event.preventDefault();
    const pressed = (/** @type {KeyboardEvent} */ event) => event.repeat && event.key === "Enter" && event.preventDefault();
    this._button = el("button", { type: "submit", class: "primary", on: { click: once } }, "Place order");
    this._form = el(
      "form", { class: "order-form", "aria-label": "New order", novalidate: true, on: { submit: (event) => this._submit(event), keydown: pressed } },
      el("div", { class: "field" }, el("label", { for: "order-kind" }, "Kind"), this._kindSelect, this._about),
      this._main, this._details, this._button, this._result,
    );
    container.append(this._form);
    this._drawKind();
  }

  unmount() {
    this._check.stop();
  }

  _kind() {
    const kind = KINDS.find(({ id }) => id === values.get("kind")) ?? KINDS[0];
    if (!kind) throw new Error("order_kinds.js has no kind");
    return kind;
  }

  _changeKind() {
    values.set("kind", this._kindSelect.value);
    setText(this._result, "");
    this._drawKind();
  }

  _drawKind() {
    const kind = this._kind();
    setText(this._about, kind.about);
    this._fields.clear();
    this._touched = new Set([...kind.main, ...kind.more].filter((name) => !CHOSEN.has(name) && values.get(name)));
    fill(this._main, kind.main.map((name) => this._field(name).element));
    fill(this._more, kind.more.map((name) => this._field(name).element));
    // What is sent is seen: a value that another kind of order has left here, too.
    this._details.open = kind.more.some((name) => values.get(name));
    this._changed();
  }

  /**
   * @param {string} name
   * @returns {FormField}
   */
  _field(name) {
    const overview = this._context.overview();
    /** @type {Record<string, any>} */
    const defaults = overview?.defaults ?? {};
    /** @type {Record<string, string>} */
    let choices = {};
    if (FIELDS[name]?.control === "token") {
      choices = Object.fromEntries(this._context.tokens().map(({ mint, symbol }) => [mint, symbol]));
      if (!values.get(name)) values.set(name, defaults[name] ?? Object.keys(choices)[name === "inputMint" ? 0 : 1] ?? "");
    } else if (FIELDS[name]?.control === "wallet") {
      choices = Object.fromEntries([["", "by default"], ...(overview?.walletNames ?? []).map((wallet) => [wallet, wallet])]);
    }
    const field = formField(name, {
      value: values.get(name) ?? "",
      required: this._kind().required.includes(name),
      choices,
      default: defaults[name],
      onInput: (changed, value) => {
        values.set(changed, value);
        this._touched.add(changed);
        this._changed();
      },
    });
    this._fields.set(name, field);
    return field;
  }

  _changed() {
    this._drawUnits();
    const body = orderBody(this._kind(), values);
    this._onChange(quoteParameters(body));
    if (this._touched.size > 0) this._check.soon(body);
    else this._onRequest(null, "Enter an amount: every venue's quote appears here.");
  }

  _drawUnits() {
    const [input, output] = ["inputMint", "outputMint"].map((name) => this._context.token(values.get(name)).symbol);
    const unit = fieldUnits({ type: this._kind().type, side: values.get("side"), mode: values.get("mode") }, input ?? "", output ?? "");
    for (const field of this._fields.values()) field.setUnit(unit(field.name));
  }

  /**
   * @param {Record<string, any>} body
   * @param {import("./order_check.js").Verdict} verdict
   */
  _showVerdict(body, { ok, problem }) {
    this._drawProblems(withFields(problem, kindProblems(this._kind(), values)));
    const parameters = quoteParameters(body);
    const swapIsWrong = problem?.fields.some(({ field }) => parameters && field in parameters);
    if (parameters && (ok || (problem?.fields.length && !swapIsWrong))) this._onRequest(parameters, "");
    else if (ok) this._onRequest(null, "The amount is known when the order is executed, and its quotes are in its story.");
    else this._onRequest(null, "Quotes appear here once the amount and the pair are right.");
  }

  /**
   * Writes each problem at its field. What belongs to no field is below the button.
   * @param {Problem | null} problem
   * @param {{all?: boolean}} [options] `all`: also of fields that were not touched.
   * @returns {FormField | null} The first field with a problem.
   */
  _drawProblems(problem, { all = false } = {}) {
    const { first, others } = drawProblems(this._fields, problem, ({ name }) => all || this._touched.has(name));
    if (first && this._kind().more.includes(first.name)) this._details.open = true;
    if (all || others) this._drawResult("bad", others);
    else if (this._result.classList.contains("bad")) this._drawResult("", "");
    return first;
  }

  /**
   * @param {"" | "good" | "bad"} tone
   * @param {...(string | Node)} content
   */
  _drawResult(tone, ...content) {
    this._result.className = `result ${tone}`;
    fill(this._result, content);
  }

  /**
   * The button keeps the focus while it does nothing, which a disabled one would lose.
   * @param {boolean} busy
   */
  _setBusy(busy) {
    this._busy = busy;
    setAttribute(this._button, "aria-disabled", busy ? "true" : null);
  }

  /** @param {SubmitEvent} event */
  async _submit(event) {
    event.preventDefault();
    if (this._busy) return;
    this._setBusy(true);
    const kind = this._kind();
    const body = orderBody(kind, values);
    const missing = kindProblems(kind, values);
    try {
      // An order that is known to be refused is not sent: its sentences are here already.
      const { problem: refusal } = await this._check.now(body);
      const problem = withFields(refusal, missing);
      if (problem) {
        this._drawProblems(problem, { all: true })?.focus();
        return;
      }
      this._drawResult("", "Placing …");
      const { orderId } = await this._placing.place(body, (text) => this._drawResult("", text));
      this._drawProblems(null);
      this._drawResult("good", "Placed: order ", el("a", { href: `#/orders/${orderId}`, class: "mono" }, shortId(orderId)));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (this._placing.isUnanswered) {
        this._drawResult("bad", `${error.message} It is not known whether the order was placed. Place it again unchanged: it will not be placed twice.`);
      } else this._drawProblems(error, { all: true })?.focus();
    } finally {
      this._setBusy(false);
      this._check.forget();
    }
  }
}

/**
 * The service's answer, and what would make the order one of another kind.
 * @param {Problem | null} problem
 * @param {Problem["fields"]} errors
 * @returns {Problem | null}
 */
function withFields(problem, errors) {
  if (errors.length === 0) return problem;
  return new Problem({ ...problem?.document, errors: [...(problem?.fields ?? []), ...errors] });
}
