// The newest orders, as they move through their stages.

/** @type {import("./types.js").Mount} */
export function mount(container, context) {
  return { update: () => {}, unmount: () => {} };
}
