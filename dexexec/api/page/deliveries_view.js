// Shows failed webhook deliveries.

/** @type {import("./types.js").Mount} */
export function mount(container, context) {
  return { update: () => {}, unmount: () => {} };
}
