// Writes amounts, times and rates for people. Pure: no document, no clock of its own.

/** A token as the page shows it. @typedef {{mint: string, symbol: string, decimals: number}} Token */

/**
 * An amount of base units as a decimal text, exactly: amounts exceed what a JavaScript number holds.
 * @param {string | bigint} base
 * @param {number} decimals
 * @returns {string}
 */
export function fromBase(base, decimals) {
  const units = BigInt(base);
  const sign = units < 0n ? "-" : "";
  const digits = (units < 0n ? -units : units).toString().padStart(decimals + 1, "0");
  const whole = digits.slice(0, digits.length - decimals);
  const part = digits.slice(digits.length - decimals).replace(/0+$/, "");
  return sign + whole + (part && `.${part}`);
}

/**
 * A decimal text with its thousands grouped: 1234567.5 becomes 1,234,567.5.
 * @param {string} text
 * @returns {string}
 */
export function grouped(text) {
  const [whole = "", part] = text.split(".");
  const groups = whole.replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  return part === undefined ? groups : `${groups}.${part}`;
}

/**
 * An amount in tokens with its symbol; of a mint that the page has no decimals for, in base units.
 * @param {string | null | undefined} base
 * @param {Token} token
 * @returns {string}
 */
export function amount(base, token) {
  if (base === null || base === undefined) return "–";
  if (token.decimals < 0) return `${grouped(base)} base units of ${token.symbol}`;
  return `${grouped(fromBase(base, token.decimals))} ${token.symbol}`;
}

/**
 * A token that was launched is not configured: the order itself has its decimals.
 * @param {Token} token
 * @param {Record<string, any>} order
 * @returns {Token}
 */
export function ofOrder(token, order) {
  return token.decimals < 0 && order["mintDecimals"] !== undefined ? { ...token, decimals: order["mintDecimals"] } : token;
}

/**
 * Basis points: "1.4 bps".
 * @param {string | number | null | undefined} value
 * @returns {string}
 */
export function bps(value) {
  if (value === null || value === undefined) return "–";
  return `${Math.round(Number(value) * 100) / 100} bps`;
}

/**
 * A price with at most `digits` significant digits, without an exponent.
 * @param {string | number | null | undefined} value
 * @param {number} [digits]
 * @returns {string}
 */
export function price(value, digits = 8) {
  if (value === null || value === undefined) return "–";
  const number = Number(value);
  if (!Number.isFinite(number)) return "–";
  return new Intl.NumberFormat("en", { maximumSignificantDigits: digits }).format(number);
}

/**
 * The local time of day, HH:MM:SS, with milliseconds if wanted.
 * @param {string | number | Date | null | undefined} at
 * @param {{milliseconds?: boolean}} [options]
 * @returns {string}
 */
export function clock(at, { milliseconds = false } = {}) {
  if (at === null || at === undefined) return "–";
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return "–";
  const parts = [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, "0"));
  return parts.join(":") + (milliseconds ? `.${String(date.getMilliseconds()).padStart(3, "0")}` : "");
}

/**
 * The local date and time, for a time that may be of another day.
 * @param {string | number | Date | null | undefined} at
 * @returns {string}
 */
export function dateTime(at) {
  if (at === null || at === undefined) return "–";
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return "–";
  const day = [date.getFullYear(), date.getMonth() + 1, date.getDate()].map((part) => String(part).padStart(2, "0"));
  return `${day.join("-")} ${clock(date)}`;
}

/**
 * The time of day, with the date before it if it is of another day than `now`.
 * @param {string | null | undefined} at
 * @param {number} now
 * @returns {string}
 */
export function moment(at, now) {
  const text = dateTime(at);
  return text.slice(0, 10) === dateTime(now).slice(0, 10) ? text.slice(11) : text;
}

/**
 * A span of milliseconds: "480 ms", "1.25 s", "3 min 5 s", "2 h 10 min", "3 d 4 h".
 * @param {number | null | undefined} ms
 * @returns {string}
 */
export function duration(ms) {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 59_995) return `${Math.round(ms / 10) / 100} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  const hours = Math.round(minutes / 60);
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/**
 * A share between 0 and 1 in percent.
 * @param {number | null | undefined} share
 * @returns {string}
 */
export function percent(share) {
  return share === null || share === undefined ? "–" : `${Math.round(share * 1000) / 10} %`;
}

/**
 * The last eight characters of an order's id. The first ones are the time: orders of one minute have the same.
 * @param {string} id
 * @returns {string}
 */
export function shortId(id) {
  return id.slice(-8);
}

/**
 * A long address or signature with its middle left out.
 * @param {string} text
 * @returns {string}
 */
export function shortAddress(text) {
  return text.length <= 12 ? text : `${text.slice(0, 4)}…${text.slice(-4)}`;
}
