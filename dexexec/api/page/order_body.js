// Makes the body of a request of what the form holds. Pure.

import { FIELDS } from "./order_kinds.js";

/** @typedef {import("./order_kinds.js").Kind} Kind */

/**
 * The body of `POST /api/orders/execute`. Empty fields are left out, so that the service's defaults apply. What is no
 * number stays text: then the service answers what would be right.
 * @param {Kind} kind
 * @param {ReadonlyMap<string, string>} values Of the form's fields; a flag that is set is "true".
 * @returns {Record<string, any>}
 */
export function orderBody(kind, values) {
  /** @type {Record<string, any>} */
  const body = kind.type === "market" ? {} : { type: kind.type };
  for (const name of [...kind.main, ...kind.more]) {
    const value = sent(name, (values.get(name) ?? "").trim());
    if (value === undefined) continue;
    const path = name.split(".");
    const last = /** @type {string} */ (path.pop());
    let place = body;
    for (const step of path) place = place[step] ??= {};
    place[last] = value;
  }
  return body;
}

/**
 * The fields without which the order would be one of another kind: a stop without its trigger is a valid market order,
 * which the service would execute at once. All others that are missing the service names itself.
 * @param {Kind} kind
 * @param {ReadonlyMap<string, string>} values
 * @returns {{field: string, problem: string, expected: string}[]}
 */
export function kindProblems(kind, values) {
  if (kind.type !== kind.id) {
    return kind.required
      .filter((name) => name !== "side" && name !== "amount" && !(values.get(name) ?? "").trim())
      .map((field) => ({ field, problem: "is missing", expected: `a value: without it this would be a ${kind.type} order` }));
  }
  return [];
}

/**
 * The parameters of `GET /api/quote` for the same swap, or null where it has no quote: of a share of the balance, whose
 * size only the worker finds, and of a token that is not launched.
 * @param {Record<string, any>} body
 * @returns {Record<string, string> | null}
 */
export function quoteParameters(body) {
  if (body["type"] === "sniper" || !/^\d+(\.\d+)?$/.test(body["amount"] ?? "")) return null;
  /** @type {Record<string, string>} */
  const parameters = {};
  for (const name of ["side", "amount", "mode", "inputMint", "outputMint", "slippageBps", "maxPriceImpactBps"]) {
    if (body[name] !== undefined) parameters[name] = String(body[name]);
  }
  return parameters;
}

/**
 * The units of fields: symbols of the tokens of the pair, or what the field counts.
 * @param {Record<string, any>} order `type`, `side` and `mode`.
 * @param {string} input The symbol of the input token.
 * @param {string} output
 * @returns {(name: string) => string} The unit of a field by its name.
 */
export function fieldUnits({ type, side, mode }, input, output) {
  const isSniper = type === "sniper";
  const target = isSniper ? "tokens" : output;
  const isBuy = isSniper || side !== "sell";
  const [spent, received] = isBuy ? [input, target] : [target, input];
  const counted = isSniper || mode !== "exactOut" ? spent : received;
  /** @type {Record<string, string>} */
  const units = { price: `${target}/${input}`, counted, spent: input };
  return (name) => {
    const unit = FIELDS[name]?.unit ?? "";
    if (unit === "other") return name === "minOut" ? received : spent;
    return units[unit] ?? unit;
  };
}

/**
 * A field's value as the API takes it.
 * @param {string} name
 * @param {string} text
 * @returns {unknown} undefined for what is left out.
 */
export function sent(name, text) {
  if (text === "") return undefined;
  switch (FIELDS[name]?.control) {
    case "integer":
      return /^-?\d{1,15}$/.test(text) ? Number(text) : text;
    case "flag":
      return text === "true" ? true : undefined;
    case "names":
      return text.split(",").map((part) => part.trim()).filter(Boolean);
    case "time": {
      const time = new Date(text);
      return Number.isNaN(time.getTime()) ? text : time.toISOString();
    }
    default:
      return text;
  }
}
