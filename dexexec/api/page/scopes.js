// What the caller may do.

/**
 * Whether the key may place, change and cancel orders, and see webhooks.
 * @param {import("./types.js").Context} context
 */
export function mayTrade(context) {
  const scopes = context.overview()?.scopes;
  return !scopes || scopes.includes("trade") || scopes.includes("admin");
}
