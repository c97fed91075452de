// Posts an order so that a lost answer does no harm: each try of one order has the same Idempotency-Key.

import { Problem } from "./session.js";

const PAUSES_MS = [300, 1_000, 2_000, 4_000, 8_000];

/** @typedef {{text: string, key: string}} Unanswered */

export class Placing {
  /**
   * @param {Pick<import("./types.js").Api, "post">} api
   * @param {(ms: number) => Promise<void>} [pause]
   */
  constructor(api, pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))) {
    this._api = api;
    this._pause = pause;
    /** An order of which it is not known whether it was stored. @type {Unanswered | null} */
    this._unanswered = null;
    this._abandoned = false;
  }

  /** Ends the tries: the next one would be with another key. */
  abandon() {
    this._abandoned = true;
  }

  /**
   * Posts the order, again after a while if no answer comes. The same order once more, after all tries were in vain,
   * continues with its key: it is placed once, however often the button is pressed until there is an answer.
   * @param {Record<string, any>} body
   * @param {(text: string) => void} onDelay Gets a sentence while there is no answer.
   * @returns {Promise<{orderId: string}>}
   */
  async place(body, onDelay) {
    const text = JSON.stringify(body);
    if (this._unanswered?.text !== text) this._unanswered = { text, key: newKey() };
    const { key } = this._unanswered;
    for (let tries = 0; ; tries += 1) {
      try {
        const answer = await this._api.post("/api/orders/execute", body, { idempotencyKey: key });
        this._unanswered = null;
        return answer;
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        if (!mayBeStored(error)) {
          this._unanswered = null;
          throw error;
        }
        const pauseMs = PAUSES_MS[tries];
        if (pauseMs === undefined) throw error;
        onDelay("No answer yet. Trying again with the same key: the order is placed once.");
        await this._pause(pauseMs);
        if (this._abandoned) throw error;
      }
    }
  }

  /** Whether the last order may or may not have been placed. */
  get isUnanswered() {
    return this._unanswered !== null;
  }
}

/**
 * Whether the order may have been stored in spite of the problem.
 * @param {Problem} problem
 */
export function mayBeStored(problem) {
  if (problem.status === 0 || problem.code === "idempotency-key-in-flight") return true;
  // A proxy answers 502 and 504 without a problem document, when the service may have done its work.
  return problem.status >= 500 && (problem.code === "" || problem.code === "internal" || problem.code === "unavailable");
}

/** @returns {string} 128 random bits. `crypto.randomUUID` is not there on pages without TLS. */
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `page-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
