// Asks the service, while a person types, what an order would answer. Only the newest question counts.

import { Problem } from "./session.js";

const PAUSE_MS = 200;

/** What is known of a body: null while it is not, or cannot be checked. @typedef {{ok: boolean, problem: Problem | null}} Verdict */

export class OrderCheck {
  /**
   * @param {import("./types.js").Api} api
   * @param {(body: Record<string, any>, verdict: Verdict) => void} onVerdict
   */
  constructor(api, onVerdict) {
    this._api = api;
    this._onVerdict = onVerdict;
    this._timer = 0;
    this._text = "";
    /** @type {Promise<Verdict> | null} */
    this._verdict = null;
  }

  /**
   * Checks the body soon, unless another one replaces it before.
   * @param {Record<string, any>} body
   */
  soon(body) {
    clearTimeout(this._timer);
    this._timer = window.setTimeout(() => void this.now(body), PAUSE_MS);
  }

  /**
   * Checks the body, once.
   * @param {Record<string, any>} body
   * @returns {Promise<Verdict>}
   */
  async now(body) {
    clearTimeout(this._timer);
    const text = JSON.stringify(body);
    if (this._text !== text || !this._verdict) {
      this._text = text;
      this._verdict = this._request(body);
    }
    const asked = this._verdict;
    const verdict = await asked;
    if (asked === this._verdict) this._onVerdict(body, verdict);
    return verdict;
  }

  /** Forgets the verdict: the same body may now be answered otherwise. */
  forget() {
    clearTimeout(this._timer);
    this._verdict = null;
  }

  stop() {
    this.forget();
    this._onVerdict = () => {};
  }

  /**
   * @param {Record<string, any>} body
   * @returns {Promise<Verdict>}
   */
  async _request(body) {
    try {
      const answer = await this._api.post("/api/orders/check", body);
      return answer?.ok === false ? { ok: false, problem: new Problem(answer.problem ?? {}) } : { ok: true, problem: null };
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.status === 422 || error.status === 403) return { ok: false, problem: error };
      // Not answered: the order itself will be, so nothing is held against it here.
      this._verdict = null;
      return { ok: true, problem: null };
    }
  }
}
