// Shows venues, workers and the queue.

/** @type {import("./types.js").Mount} */
export function mount(container, context) {
  return { update: () => {}, unmount: () => {} };
}
