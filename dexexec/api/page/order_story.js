// Shows an order's story.

/** @type {import("./types.js").Mount} */
export function mount(container, context) {
  return { update: () => {}, unmount: () => {} };
}
