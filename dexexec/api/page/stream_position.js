// Where the page is in the stream of all events, and what it does next. Pure: stream.js does the I/O.

/**
 * @typedef {object} StreamState
 * @property {"connecting" | "live" | "reconnecting" | "unauthorized"} phase
 * @property {string | null} position Of the last batch that was received whole; null before the first.
 * @property {number | null} since When the connection was lost (milliseconds of Unix time); null while live.
 * @property {number} tries Failed connections since it was last live.
 * @property {boolean} anew Whether the record could not go on from the position, and events may be missing.
 * @property {boolean} stale Whether the list must be read anew, since events may be missing between it and the stream.
 */

/**
 * What happened: the socket opened, sent a message, or closed.
 * @typedef {{kind: "opened"} | {kind: "message", message: any} | {kind: "closed", code: number, at: number}} Happening
 */

/** @type {StreamState} */
export const START = { phase: "connecting", position: null, since: null, tries: 0, anew: false, stale: true };

/**
 * The subscription to send on a socket that has opened. Without a position it begins with now.
 * @param {StreamState} state
 */
export function subscription(state) {
  return state.position === null ? { events: "all" } : { events: "all", after: state.position };
}

/**
 * @param {StreamState} state
 * @param {Happening} happening
 * @returns {StreamState}
 */
export function next(state, happening) {
  if (happening.kind === "opened") return state.position === null ? { ...state, stale: true } : state;
  if (happening.kind === "closed") {
    if (happening.code === 4401) return { ...state, phase: "unauthorized", since: state.since ?? happening.at };
    const phase = state.phase === "connecting" && state.since === null && state.tries === 0 ? "connecting" : "reconnecting";
    return { ...state, phase, since: state.since ?? happening.at, tries: state.tries + 1 };
  }
  const { message } = happening;
  if (typeof message?.position === "string" && message.seq === undefined) {
    // The position comes after its batch: a loss in the middle of one repeats it, and loses nothing.
    return { ...state, phase: "live", position: message.position, since: null, tries: 0 };
  }
  if (message?.error?.code === "position-unknown" || message?.error?.code === "invalid-position") {
    return { ...state, position: null, anew: true, stale: true };
  }
  return state;
}

/**
 * The pause before the next connection: doubled with each failure up to 5 s, and spread so that the pages of many people do
 * not all come back in the same moment.
 * @param {number} tries
 * @param {number} random From 0 to 1.
 * @returns {number} Milliseconds.
 */
export function pauseMs(tries, random) {
  const most = Math.min(5_000, 250 * 2 ** Math.min(tries, 10));
  return Math.round(most / 2 + (most / 2) * random);
}

/**
 * The connection in words. It begins with "Live", "Reconnecting" or "No connection".
 * @param {StreamState} state
 * @param {(at: number) => string} clock
 */
export function connectionText(state, clock) {
  switch (state.phase) {
    case "live":
      return state.anew ? "Live. Events were missing, so the list was read anew" : "Live";
    case "unauthorized":
      return "No connection: the key is not valid";
    case "reconnecting":
      return `Reconnecting. What you see is as of ${clock(state.since ?? 0)}`;
    default:
      return state.tries > 0 ? "No connection yet: trying again" : "No connection yet";
  }
}
