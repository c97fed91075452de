// Every venue's quote, side by side.

/**
 * @param {HTMLElement} container
 * @param {import("./types.js").Context} context
 * @returns {import("./types.js").View & {request: (request: Record<string, string> | null) => void}}
 */
export function mount(container, context) {
  return { request: () => {}, update: () => {}, unmount: () => {} };
}
