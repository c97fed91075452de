// Shows the wallets.

/** @type {import("./types.js").Mount} */
export function mount(container, context) {
  return { update: () => {}, unmount: () => {} };
}
