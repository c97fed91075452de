// Composes the page: the key, the stream, the views, and one drawing per frame.

import { listenForCopies } from "./copying.js";
import * as deliveriesView from "./deliveries_view.js";
import { byId, fill, setText } from "./dom.js";
import { clock, shortAddress, shortId } from "./format.js";
import * as haltBanner from "./halt_banner.js";
import * as keyForm from "./key_form.js";
import * as orderForm from "./order_form.js";
import * as orderStory from "./order_story.js";
import { KEPT, OrdersStore } from "./orders_store.js";
import { PriceHistory } from "./price_history.js";
import { Problem, createSession } from "./session.js";
import { Stream } from "./stream.js";
import { connectionText } from "./stream_position.js";
import * as systemView from "./system_view.js";
import * as tradeView from "./trade_view.js";

/** @typedef {import("./types.js").View} View */

const OVERVIEW_EVERY_MS = 2_000;
const LIST = "/api/orders?limit=100";
/** Tokens with their decimals, for a service whose overview does not list its tokens. @type {import("./format.js").Token[]} */
const COMMON_TOKENS = [
  { mint: "So11111111111111111111111111111111111111112", symbol: "SOL", decimals: 9 },
  { mint: "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", symbol: "USDC", decimals: 6 },
];
/** @type {Record<string, {title: string, mount: import("./types.js").Mount}>} */
const VIEWS = {
  "": { title: "Trade", mount: tradeView.mount },
  orders: { title: "Order", mount: orderStory.mount },
  system: { title: "System", mount: systemView.mount },
  webhooks: { title: "Webhooks", mount: deliveriesView.mount },
};

const main = byId("main");
const orders = new OrdersStore();
const prices = new PriceHistory();
/** @type {Set<(event: import("./types.js").OrderEvent) => void>} */
const listeners = new Set();
/** @type {View | null} */
let view = null;
/** @type {import("./types.js").Overview | null} */
let overview = null;
/** The cursor of older orders. @type {string | null} */
let older = null;
let frame = 0;
let timer = 0;
let admitted = false;
/** Counts the keys: what was requested with another key is not shown. */
let visit = 0;

const session = createSession({ onUnauthorized: () => admitted && requestKey(true) });
const stream = new Stream({
  protocols: session.protocols,
  onEvent: (event) => {
    if (!orders.apply(event)) return;
    prices.addEvent(event, orders.get(event.orderId)?.["mode"]);
    for (const listener of listeners) listener(event);
    redraw();
  },
  onState: (state) => {
    if (state.phase === "unauthorized" && admitted) requestKey(true);
    // Subscribed first and read afterwards: what happens in between is in both, and merged by `seq`.
    if (state.stale && state.phase === "live") void readList();
    redraw();
  },
  onNotice: () => void readOverview(),
  // What is open may be of the record that was there before.
  onAnew: () => admitted && show(),
});

/** Draws in the next frame, however many events come before it. */
function redraw() {
  frame ||= requestAnimationFrame(draw);
}

function draw() {
  frame = 0;
  if (!admitted) return;
  drawConnection();
  view?.update();
}

function drawConnection() {
  const status = byId("connection");
  setText(status, connectionText(stream.state, (at) => clock(at)));
  status.dataset["phase"] = stream.state.phase;
  document.body.classList.toggle("stale", stream.state.phase !== "live");
}

async function readList() {
  // Of another record nothing is kept. Before the request: what comes after it is newer than the list, or in it.
  const asked = visit;
  if (stream.state.anew) {
    orders.clear();
    prices.clear();
  }
  try {
    const { orders: listed, next } = await session.api.get(LIST);
    if (asked !== visit) return;
    orders.merge(listed);
    older = next;
    stream.listRead();
    redraw();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    setTimeout(() => admitted && stream.state.stale && void readList(), 1_000);
  }
}

/** Reads the page of the list that follows what is here. False if there is none, or no room for it. */
async function readOlder() {
  if (older === null || orders.newest().length >= KEPT) return false;
  const asked = visit;
  const { orders: listed, next } = await session.api.get(`${LIST}&cursor=${encodeURIComponent(older)}`);
  if (asked !== visit) return false;
  orders.merge(listed);
  older = next;
  redraw();
  return true;
}

async function readOverview() {
  clearTimeout(timer);
  const asked = visit;
  try {
    const answer = await session.api.get("/api/overview");
    if (asked !== visit) return;
    overview = answer;
    drawOverview();
  } catch (error) {
    // A process that was killed answers nothing here before the socket's end is noticed.
    if (error instanceof Problem && error.status === 0) stream.suspect();
    // The answer to a key that has ended, and was forgotten because of it.
    if (asked !== visit) return;
    if (!admitted) throw error;
  } finally {
    if (admitted) timer = window.setTimeout(() => void readOverview(), OVERVIEW_EVERY_MS);
  }
  redraw();
}

function drawOverview() {
  if (!overview) return;
  setText(byId("version"), overview.version);
  const network = byId("network");
  network.hidden = false;
  network.dataset["kind"] = overview.network.kind;
  setText(network, overview.network.name);
  haltBanner.draw(byId("banner"), overview.halts);
}

function tokens() {
  return overview?.tokens?.length ? overview.tokens : COMMON_TOKENS;
}

/** @param {string | null | undefined} mint */
function token(mint) {
  const known = [...tokens(), ...COMMON_TOKENS].find((candidate) => candidate.mint === mint);
  return known ?? { mint: mint ?? "", symbol: shortAddress(mint ?? "?"), decimals: -1 };
}

function show() {
  view?.unmount();
  view = null;
  fill(main);
  const [name = "", ...parameters] = location.hash.replace(/^#\/?/, "").split("/").map(decoded);
  const { title, mount } = VIEWS[name] ?? VIEWS[""] ?? { title: "", mount: tradeView.mount };
  document.title = `${title}${name === "orders" ? ` ${shortId(parameters[0] ?? "")}` : ""} – dexexec`;
  for (const link of byId("views").querySelectorAll("a")) {
    if (link.hash.replace(/^#\/?/, "") === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  view = mount(main, {
    api: session.api,
    orders,
    prices,
    onEvent: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    overview: () => overview,
    token,
    tokens,
    parameters,
    hasOlder: () => older !== null && orders.newest().length < KEPT,
    readOlder,
    redraw,
    now: session.now,
    announce: (text) => setText(byId("announcer"), text),
  });
  redraw();
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Forgets the key, and everything that was shown or typed with it. */
function forget() {
  admitted = false;
  visit += 1;
  clearTimeout(timer);
  session.setKey("");
  stream.stop();
  orders.clear();
  prices.clear();
  orderForm.forget();
  view?.unmount();
  view = null;
  overview = null;
  older = null;
  byId("views").hidden = true;
  byId("network").hidden = true;
  delete byId("network").dataset["kind"];
  for (const id of ["version", "network", "announcer"]) setText(byId(id), "");
  haltBanner.draw(byId("banner"), []);
  document.title = "dexexec";
}

/** @param {boolean} refused */
function requestKey(refused) {
  forget();
  setText(byId("connection"), "No connection: a key is required");
  fill(main);
  keyForm.mount(main, {
    refused,
    onKey: async (key) => {
      session.setKey(key);
      await readOverview();
      admit();
    },
  });
}

function admit() {
  admitted = true;
  byId("views").hidden = false;
  timer = window.setTimeout(() => void readOverview(), OVERVIEW_EVERY_MS);
  stream.start();
  show();
}

async function begin() {
  if (document.documentElement.dataset["keys"] === "required") {
    requestKey(false);
    return;
  }
  try {
    await readOverview();
    admit();
  } catch (error) {
    if (error instanceof Problem && error.status === 401) {
      requestKey(false);
      return;
    }
    setText(byId("connection"), `No connection yet: ${/** @type {Error} */ (error).message}`);
    setTimeout(begin, 1_000);
  }
}

window.addEventListener("hashchange", () => {
  if (!admitted) return;
  show();
  // The focus goes where a reader would look next: the beginning of the view.
  main.focus({ preventScroll: true });
  window.scrollTo(0, 0);
});
window.addEventListener("online", () => stream.hurry());
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) stream.hurry();
});
listenForCopies((text) => setText(byId("announcer"), text));
void begin();
