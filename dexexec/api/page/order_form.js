// The form for a new order.

/**
 * @param {HTMLElement} container
 * @param {import("./types.js").Context} context
 * @param {{onRequest: (request: Record<string, string> | null) => void}} hooks `onRequest` gets the parameters of a quote,
 * or null while the form has none.
 * @returns {import("./types.js").View}
 */
export function mount(container, context, { onRequest }) {
  return { update: () => {}, unmount: () => {} };
}
