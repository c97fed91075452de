// What the parts of the page share, as types. It has no code.

/**
 * An event as the stream sends it. Other fields depend on its status (docs/STREAM.md).
 * @typedef {{orderId: string, seq: number, status: string, at: string, final: boolean} & Record<string, any>} OrderEvent
 */

/**
 * An order as a list returns it, or as its events build it: fields that are not known yet are absent.
 * @typedef {{orderId: string, status: string, seq: number, createdAt?: string} & Record<string, any>} Order
 */

/**
 * The answer of `GET /api/overview`. What the caller must not see is absent.
 * @typedef {object} Overview
 * @property {string} version
 * @property {{name: string, kind: string, explorer: string | null}} network
 * @property {boolean} keysRequired
 * @property {any[]} halts
 * @property {{length: number, oldestMs: number | null}} [queue]
 * @property {any[]} [workers]
 * @property {any[]} [quarantines] Venues whose program was upgraded.
 * @property {any[]} [nodes]
 * @property {{name: string, address: string, balances: {mint: string, symbol: string, amount: string | null, reserved: string, decimals?: number}[]}[]} [wallets]
 * @property {{failed: number}} [webhooks]
 * @property {{mint: string, symbol: string, decimals: number}[]} [tokens]
 * @property {Record<string, any>} [defaults]
 * @property {string[]} [walletNames]
 * @property {string[]} [scopes]
 */

/**
 * Requests to the service. Each returns the parsed answer, or throws a `Problem` (session.js). A problem with status 0
 * means that no answer came.
 * @typedef {object} Api
 * @property {(path: string, options?: {signal?: AbortSignal}) => Promise<any>} get
 * @property {(path: string, body: unknown, options?: {idempotencyKey?: string, signal?: AbortSignal}) => Promise<any>} post
 * @property {(path: string, body: unknown, seq: number) => Promise<any>} patch `seq`: the version that is changed.
 * @property {(path: string) => Promise<any>} delete
 */

/**
 * What a view gets from main.js.
 * @typedef {object} Context
 * @property {Api} api Requests, with the key if one was entered.
 * @property {import("./orders_store.js").OrdersStore} orders The newest orders. `orders.get(id)`, `orders.newest()`.
 * @property {import("./price_history.js").PriceHistory} prices
 * @property {(listener: (event: OrderEvent) => void) => () => void} onEvent Calls the listener with each new event of
 * any order. Returns what ends that; a view calls it in `unmount`.
 * @property {() => Overview | null} overview The newest overview, read every 2 s. Null before the first answer.
 * @property {(mint: string | null | undefined) => import("./format.js").Token} token Symbol and decimals of a mint; decimals are -1
 * if they are not known.
 * @property {() => import("./format.js").Token[]} tokens Those that orders may name.
 * @property {string[]} parameters Of the route: `["ID"]` for `#/orders/ID`.
 * @property {() => boolean} hasOlder Whether `readOlder` would add orders.
 * @property {() => Promise<boolean>} readOlder Reads the next page of older orders into `orders`.
 * @property {() => void} redraw Requests a call of `update` in the next frame.
 * @property {() => number} now The clock of the service (milliseconds of Unix time).
 * @property {(text: string) => void} announce Has a screen reader speak the text.
 */

/**
 * A view on the page. `update` is called at most once a frame, after an event, an overview or `redraw`; it changes the
 * document only where something is different. `unmount` ends timers, listeners and requests.
 * @typedef {{update: () => void, unmount: () => void}} View
 */

/** @typedef {(container: HTMLElement, context: Context) => View} Mount */

export {};
