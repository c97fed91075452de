// What can be changed of an order that rests, and the body of the change. Pure.

import { sent } from "./order_body.js";
import { CHANGEABLE } from "./order_kinds.js";

/** Fields that are there in any order of their kind, or can be added. Others only where the order has a value. */
const ALWAYS = new Set(["amount", "expiresAt", "minPrice", "maxPrice"]);
/** Fields that an empty text takes away. */
const REMOVABLE = new Set(["expiresAt", "minPrice", "maxPrice"]);

/**
 * The names of the fields of the form, for this order.
 * @param {Record<string, any>} order As `GET /api/orders/{id}` returns it.
 * @returns {string[]}
 */
export function changedFields(order) {
  // What never rests cannot be changed: a market order without a trigger waits for a worker only.
  if (order["type"] === "market" && !valueOf(order, "triggerPrice") && !valueOf(order, "trailBps")) return [];
  const isShown = (/** @type {string} */ name) => ALWAYS.has(name) || name.startsWith("conditions.") || valueOf(order, name) !== "";
  return (CHANGEABLE[order["type"]] ?? []).filter(isShown);
}

/**
 * The order's value of a field, as the field writes it.
 * @param {Record<string, any>} order
 * @param {string} name
 * @returns {string}
 */
export function valueOf(order, name) {
  let value = /** @type {any} */ (order);
  for (const step of name.split(".")) value = value?.[step];
  if (value === undefined || value === null) return "";
  if (Array.isArray(value)) return value.join(", ");
  if (value === false) return "";
  return name === "expiresAt" ? localTime(value) : String(value);
}

/**
 * The body of `PATCH /api/orders/{id}`: what differs from the order. Conditions are replaced as a whole.
 * @param {Record<string, any>} order
 * @param {ReadonlyMap<string, string>} values
 * @returns {Record<string, any>}
 */
export function changeBody(order, values) {
  /** @type {Record<string, any>} */
  const body = {};
  const names = changedFields(order);
  const text = (/** @type {string} */ name) => (values.get(name) ?? valueOf(order, name)).trim();
  const differs = (/** @type {string} */ name) => text(name) !== valueOf(order, name);
  for (const name of names) {
    if (name.startsWith("conditions.") || !differs(name)) continue;
    body[name] = text(name) === "" && REMOVABLE.has(name) ? null : (sent(name, text(name)) ?? "");
  }
  const conditions = names.filter((name) => name.startsWith("conditions."));
  if (conditions.some(differs)) {
    const set = conditions.map((name) => /** @type {const} */ ([name.slice("conditions.".length), sent(name, text(name))]));
    body["conditions"] = Object.fromEntries(set.filter(([, value]) => value !== undefined));
  }
  return body;
}

/**
 * A time as a field for local times has it.
 * @param {string} at
 */
function localTime(at) {
  const time = new Date(at);
  const local = new Date(time.getTime() - 60_000 * time.getTimezoneOffset());
  return Number.isNaN(time.getTime()) ? "" : local.toISOString().slice(0, 19);
}
