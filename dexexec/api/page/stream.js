// One WebSocket for all events, resumed after a loss with the position of the last batch.

import { START, next, pauseMs, subscription } from "./stream_position.js";

/** @typedef {import("./stream_position.js").StreamState} StreamState */

/** A connection that brings no position within this time is given up. */
const QUIET_LIMIT_MS = 8_000;
/** The code with which the service closes the connection of a key that is not valid. */
const UNAUTHORIZED = 4401;

export class Stream {
  /**
   * @param {object} options
   * @param {() => string[]} options.protocols
   * @param {(event: import("./types.js").OrderEvent) => void} options.onEvent
   * @param {(state: StreamState) => void} options.onState
   * @param {(notice: {code: string, message: string}) => void} options.onNotice
   * @param {() => void} options.onAnew Is called when the record does not have the position, and may be another one.
   */
  constructor({ protocols, onEvent, onState, onNotice, onAnew }) {
    this._protocols = protocols;
    this._onEvent = onEvent;
    this._onState = onState;
    this._onNotice = onNotice;
    this._onAnew = onAnew;
    /** @type {StreamState} */
    this.state = START;
    /** @type {WebSocket | null} */
    this._socket = null;
    this._timer = 0;
    this._quiet = 0;
  }

  /** Connects, and goes on doing so until `stop`. */
  start() {
    clearTimeout(this._timer);
    this._timer = 0;
    if (this._socket) return;
    const url = new URL("/api/orders/execute", location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    url.hash = "";
    const socket = new WebSocket(url, this._protocols());
    this._socket = socket;
    // A server that vanished without closing the connection is only noticed by its silence.
    this._quiet = window.setTimeout(() => this._ended(socket, 4000), QUIET_LIMIT_MS);
    socket.addEventListener("open", () => {
      if (socket !== this._socket) return;
      this._change({ kind: "opened" });
      socket.send(JSON.stringify(subscription(this.state)));
    });
    socket.addEventListener("message", (event) => {
      if (socket === this._socket) this._receive(socket, String(event.data));
    });
    socket.addEventListener("close", (event) => this._ended(socket, event.code));
  }

  /** Ends the connection for good, and forgets the position. */
  stop() {
    clearTimeout(this._timer);
    clearTimeout(this._quiet);
    const socket = this._socket;
    this._socket = null;
    socket?.close();
    this.state = START;
  }

  /** The service does not answer elsewhere: the socket is given up if it is silent, too. */
  suspect() {
    if (this._socket && this.state.phase === "live") this._ended(this._socket, 4000);
  }

  /** Connects at once if a pause is running: the network is back, or somebody looks at the page again. */
  hurry() {
    if (this._timer) this.start();
  }

  /** The list was read after the subscription: together they have no gap. */
  listRead() {
    this.state = { ...this.state, stale: false };
  }

  /**
   * @param {WebSocket} socket
   * @param {string} text
   */
  _receive(socket, text) {
    const message = JSON.parse(text);
    if (typeof message.seq === "number" && typeof message.orderId === "string" && typeof message.status === "string") {
      this._onEvent(message);
      return;
    }
    if (message.notice) this._onNotice(message.notice);
    if (message.position !== undefined) clearTimeout(this._quiet);
    this._change({ kind: "message", message });
    // The position is of another record, or of before an archive: begin anew with now.
    if (message.error && this.state.position === null) this._subscribeAnew(socket, message.error.code);
  }

  /**
   * @param {WebSocket} socket
   * @param {string} code
   */
  _subscribeAnew(socket, code) {
    if (code !== "position-unknown" && code !== "invalid-position") return;
    socket.send(JSON.stringify(subscription(this.state)));
    this._onAnew();
  }

  /**
   * @param {WebSocket} socket
   * @param {number} code
   */
  _ended(socket, code) {
    if (socket !== this._socket) return;
    this._socket = null;
    clearTimeout(this._quiet);
    socket.close();
    this._change({ kind: "closed", code, at: Date.now() });
    // Not by the state: who is notified of it stops the stream, and a new connection would take the place of the next key's.
    if (code === UNAUTHORIZED) return;
    this._timer = window.setTimeout(() => this.start(), pauseMs(this.state.tries, Math.random()));
  }

  /** @param {import("./stream_position.js").Happening} happening */
  _change(happening) {
    const before = this.state;
    this.state = next(before, happening);
    if (this.state !== before) this._onState(this.state);
  }
}
