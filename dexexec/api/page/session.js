// The API key, in memory only, and requests with it. A reload of the page forgets the key.

/** A refused or unanswered request, as its problem document describes it. */
export class Problem extends Error {
  /** @param {Record<string, any>} document */
  constructor(document) {
    super(String(document.detail ?? document.title ?? "The request was refused"));
    /** 0 if no answer came: then it is not known whether the request was carried out. */
    this.status = Number(document.status ?? 0);
    /** @type {string} The last part of the problem's `type`. */
    this.code = String(document.type ?? "").split("/").pop() ?? "";
    /** @type {{field: string, problem: string, expected: string}[]} */
    this.fields = Array.isArray(document.errors) ? document.errors : [];
    /** @type {Record<string, any>} */
    this.document = document;
  }
}

/**
 * @typedef {object} Session
 * @property {import("./types.js").Api} api
 * @property {(key: string) => void} setKey
 * @property {() => string[]} protocols The sub-protocols of the WebSocket, with the key.
 * @property {() => boolean} hasKey
 * @property {() => number} now The service's clock (milliseconds of Unix time), which this computer's may differ from.
 */

/**
 * @param {{onUnauthorized: () => void}} hooks `onUnauthorized` is called when a request is refused for lack of a valid key.
 * @returns {Session}
 */
export function createSession({ onUnauthorized }) {
  let key = "";
  let offsetMs = 0;

  /**
   * @param {string} method
   * @param {string} path
   * @param {{body?: unknown, idempotencyKey?: string, ifMatch?: string, signal?: AbortSignal}} [options]
   * @returns {Promise<any>}
   */
  async function request(method, path, { body, idempotencyKey, ifMatch, signal } = {}) {
    /** @type {Record<string, string>} */
    const headers = { Accept: "application/json" };
    if (key) headers["Authorization"] = `Bearer ${key}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (ifMatch) headers["If-Match"] = ifMatch;
    if (idempotencyKey) headers["Idempotency-Key"] = idempotencyKey;
    let response;
    let text;
    try {
      response = await fetch(path, {
        method,
        headers,
        body: body === undefined ? null : JSON.stringify(body),
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
        signal: signal ?? AbortSignal.timeout(15_000),
      });
      text = await response.text();
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Problem({ status: 0, title: "No answer", detail: "The service did not answer." });
    }
    offsetMs = clockOffsetMs(response.headers.get("Date"), Date.now());
    const answer = parsed(text);
    if (response.ok) return answer;
    if (response.status === 401) onUnauthorized();
    const document = answer !== null && typeof answer === "object" ? answer : {};
    throw new Problem({ title: `HTTP ${response.status}`, ...document, status: response.status });
  }

  return {
    api: {
      get: (path, options) => request("GET", path, options),
      post: (path, body, options) => request("POST", path, { body, ...options }),
      patch: (path, body, seq) => request("PATCH", path, { body, ifMatch: `"${seq}"` }),
      delete: (path) => request("DELETE", path),
    },
    setKey: (value) => {
      key = value.trim();
    },
    protocols: () => (key ? ["dexexec.v1", `dexexec.bearer.${key}`] : ["dexexec.v1"]),
    hasKey: () => key !== "",
    now: () => Date.now() + offsetMs,
  };
}

/**
 * How far the service's clock is ahead of this one, in milliseconds; 0 if they agree as far as a header of whole seconds
 * can show.
 * @param {string | null} date The `Date` header.
 * @param {number} nowMs
 */
export function clockOffsetMs(date, nowMs) {
  const offset = Date.parse(date ?? "") - nowMs;
  return Math.abs(offset) > 5_000 ? offset : 0;
}

/**
 * @param {string} text
 * @returns {any} null for text that is not JSON, such as the page of a proxy.
 */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
