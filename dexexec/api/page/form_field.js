// One field of the order form: its label, control, unit, hint and problem.

import { el, setAttribute, setText } from "./dom.js";
import { FIELDS } from "./order_kinds.js";

/** Keyboards of phones. @type {Record<string, string>} */
const INPUT_MODES = { integer: "numeric" };

/**
 * @typedef {object} FormField
 * @property {string} name
 * @property {HTMLElement} element
 * @property {() => string} value
 * @property {(value: string) => void} setValue Not of a radio button.
 * @property {(text: string) => void} setUnit
 * @property {(text: string) => void} setProblem Empty: there is none.
 * @property {() => void} focus
 */

/**
 * @param {string} name
 * @param {object} options
 * @param {string} options.value
 * @param {boolean} options.required
 * @param {Record<string, string>} options.choices Of tokens: mint and symbol; of wallets: name and name.
 * @param {unknown} [options.default] What the service takes where the field is empty.
 * @param {(name: string, value: string) => void} options.onInput
 * @returns {FormField}
 */
export function formField(name, { value, required, choices, default: unset, onInput }) {
  const field = FIELDS[name];
  if (!field) throw new Error(`order_kinds.js has no field ${name}`);
  const id = `order-${name.replaceAll(".", "-")}`;
  const hint = el("p", { class: "hint", id: `${id}-hint` }, field.hint);
  const unit = el("span", { class: "unit", id: `${id}-unit` });
  const problem = el("p", { class: "field-problem", id: `${id}-problem` });
  const shared = { id, name, "aria-describedby": [field.hint && hint.id, unit.id, problem.id].filter(Boolean).join(" ") };
  const changed = (/** @type {Event} */ event) => onInput(name, read(/** @type {any} */ (event.currentTarget)));

  /** @type {HTMLElement} */
  let element;
  /** @type {HTMLInputElement | HTMLSelectElement} */
  let control;
  if (field.control === "radio") {
    const inputs = Object.entries(field.choices ?? {}).map(([choice, label]) => {
      const input = el("input", {
        type: "radio", name, value: choice, id: `${id}-${choice}`, checked: choice === value, on: { change: changed },
        "aria-describedby": problem.id,
      });
      return { input, label: el("label", { class: `side-${choice}` }, input, el("span", null, label)) };
    });
    control = /** @type {{input: HTMLInputElement}} */ (inputs[0]).input;
    element = el(
      "fieldset", { class: "field sides" },
      el("legend", { class: "visually-hidden" }, field.label), inputs.map(({ label }) => label), problem,
    );
  } else if (field.control === "flag") {
    control = el("input", { ...shared, type: "checkbox", checked: value === "true", on: { change: changed } });
    element = el("div", { class: "field flag" }, el("label", null, control, el("span", null, field.label)), problem);
  } else {
    const isChoice = field.control === "choice" || field.control === "token" || field.control === "wallet";
    if (isChoice) {
      const options = Object.entries({ ...choices, ...field.choices });
      control = el(
        "select", { ...shared, required, on: { change: changed } },
        options.map(([choice, label]) => el("option", { value: choice, selected: choice === value }, label)),
      );
    } else {
      control = el("input", {
        ...shared, required, value, placeholder: unset !== undefined && unset !== null ? String(unset) : field.example && `e.g. ${field.example}`, on: { input: changed },
        type: field.control === "time" ? "datetime-local" : "text",
        step: field.control === "time" ? "1" : undefined,
        inputmode: INPUT_MODES[field.control],
        autocomplete: "off", autocapitalize: "off", spellcheck: "false",
      });
    }
    element = el(
      "div", { class: "field", data: { field: name } },
      el("label", { for: id }, field.label), el("div", { class: "control" }, control, unit), field.hint && hint, problem,
    );
  }
  return {
    name,
    element,
    value: () => read(control),
    setValue: (value) => {
      if (control instanceof HTMLInputElement && control.type === "checkbox") control.checked = value === "true";
      else if (control.value !== value) control.value = value;
    },
    setUnit: (text) => {
      setText(unit, text);
      setAttribute(unit, "data-size", text === "" ? null : text.length > 5 ? "long" : "short");
    },
    setProblem: (text) => {
      setText(problem, text);
      setAttribute(control, "aria-invalid", text ? "true" : null);
    },
    focus: () => control.focus(),
  };
}

/**
 * @param {HTMLInputElement | HTMLSelectElement} control
 * @returns {string}
 */
function read(control) {
  if (control instanceof HTMLInputElement && control.type === "checkbox") return control.checked ? "true" : "";
  if (control instanceof HTMLInputElement && control.type === "radio") {
    return document.querySelector(`input[name="${control.name}"]:checked`)?.getAttribute("value") ?? "";
  }
  return control.value;
}
