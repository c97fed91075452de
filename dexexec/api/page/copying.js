// Buttons that copy an id, a signature or a transaction. One listener serves all of them.

import { el, setText } from "./dom.js";

const SHOWN_MS = 1_500;

/**
 * @param {string} text What is copied.
 * @param {string} what Its name, for a screen reader.
 */
export function copyButton(text, what) {
  return el("button", { type: "button", class: "small copy", "aria-label": `Copy ${what}`, data: { copy: text } }, "Copy");
}

/** @param {(text: string) => void} announce */
export function listenForCopies(announce) {
  document.addEventListener("click", async (event) => {
    const button = event.target instanceof Element ? event.target.closest("button[data-copy]") : null;
    if (!(button instanceof HTMLButtonElement)) return;
    const copied = await copy(button.dataset["copy"] ?? "");
    announce(copied ? "Copied" : "The browser did not copy it");
    setText(button, copied ? "Copied" : "Not copied");
    setTimeout(() => setText(button, "Copy"), SHOWN_MS);
  });
}

/**
 * @param {string} text
 * @returns {Promise<boolean>}
 */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Not there on a page without TLS, or refused by the browser.
    return copySelected(text);
  }
}

/** @param {string} text */
function copySelected(text) {
  const focused = document.activeElement;
  const field = el("textarea", { class: "visually-hidden", readonly: true, "aria-hidden": "true" });
  field.value = text;
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return copied;
}
