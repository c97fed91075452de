// Requests the API key where the service requires one. Nothing is shown before.

import { el, setText } from "./dom.js";
import { Problem } from "./session.js";

/**
 * @param {HTMLElement} container
 * @param {{refused: boolean, onKey: (key: string) => Promise<void>}} options `refused`: a key was given, and is not valid
 * any more.
 */
export function mount(container, { refused, onKey }) {
  const problem = el("p", { class: "field-problem", id: "key-problem", role: "alert" });
  const input = el("input", {
    type: "password", id: "key", name: "key", required: true, autocomplete: "off", spellcheck: "false",
    "aria-describedby": "key-hint key-problem",
  });
  const button = el("button", { type: "submit", class: "primary" }, "Continue");
  if (refused) setText(problem, "The key is not valid any more. Enter another one.");

  /** @param {SubmitEvent} event */
  async function submit(event) {
    event.preventDefault();
    button.disabled = true;
    try {
      await onKey(input.value);
    } catch (error) {
      const unauthorized = error instanceof Problem && error.status === 401;
      setText(problem, unauthorized ? "The service does not accept this key." : String(/** @type {Error} */ (error).message));
      input.setAttribute("aria-invalid", "true");
      input.focus();
    } finally {
      button.disabled = false;
    }
  }

  const form = el(
    "form", { class: "panel key-form", "aria-labelledby": "key-title", on: { submit } },
    el("h2", { id: "key-title" }, "API key"),
    el("p", { class: "hint", id: "key-hint" }, "This service requires a key. The page keeps it in memory only, until it is closed or reloaded."),
    el("label", { for: "key" }, "Key"), input, problem, button,
  );
  container.append(form);
  input.focus();
}
