// Every kind of order that the API has, with the fields of its form. Both tables are JSON, since a test compares them
// with the OpenAPI document: a new field of the API is missing here until it has a line.

/**
 * @typedef {object} Kind
 * @property {string} id
 * @property {string} label
 * @property {string} about
 * @property {string} schema Its schema in the OpenAPI document.
 * @property {string} type What is sent as `type`.
 * @property {string[]} required
 * @property {string[]} main Fields that are always shown.
 * @property {string[]} more Fields that are shown on request.
 */

/**
 * @typedef {object} Field
 * @property {string} label
 * @property {"text" | "decimal" | "integer" | "choice" | "radio" | "flag" | "time" | "token" | "wallet" | "names"} control
 * @property {string} [hint]
 * @property {string} [unit] `price`, `counted`, `other` and `spent` stand for tokens of the pair.
 * @property {Record<string, string>} [choices] Value and label.
 * @property {string} [example]
 */

/** @type {Kind[]} */
export const KINDS = [
  {
    "id": "market",
    "label": "Market",
    "about": "Swaps now, at the best quote of all venues, net of fees.",
    "schema": "MarketOrder",
    "type": "market",
    "required": ["side", "amount"],
    "main": ["side", "amount", "inputMint", "outputMint", "mode", "slippageBps"],
    "more": ["minOut", "maxIn", "limitPrice", "maxPriceImpactBps", "deadlineSeconds", "bracket.takeProfit.price", "bracket.takeProfit.bps", "bracket.stop.price", "bracket.stop.bps", "bracket.stop.limitPrice", "ocoGroup", "wallet", "tag", "payer", "closeAccount", "dryRun"]
  },
  {
    "id": "limit",
    "label": "Limit",
    "about": "Waits for a price, and is never filled at a worse one.",
    "schema": "LimitOrder",
    "type": "limit",
    "required": ["side", "amount", "limitPrice"],
    "main": ["side", "amount", "inputMint", "outputMint", "mode", "limitPrice", "timeInForce", "expiresAt"],
    "more": ["triggerPrice", "triggerWhen", "trailBps", "maxPriceImpactBps", "deadlineSeconds", "bracket.takeProfit.price", "bracket.takeProfit.bps", "bracket.stop.price", "bracket.stop.bps", "bracket.stop.limitPrice", "ocoGroup", "wallet", "tag", "closeAccount", "dryRun"]
  },
  {
    "id": "stop",
    "label": "Stop or take-profit",
    "about": "A market order once its price is reached.",
    "schema": "StopOrder",
    "type": "market",
    "required": ["side", "amount", "triggerPrice", "triggerWhen"],
    "main": ["side", "amount", "inputMint", "outputMint", "triggerPrice", "triggerWhen", "mode", "slippageBps", "expiresAt"],
    "more": ["maxPriceImpactBps", "bracket.takeProfit.price", "bracket.takeProfit.bps", "bracket.stop.price", "bracket.stop.bps", "bracket.stop.limitPrice", "ocoGroup", "wallet", "tag", "closeAccount", "dryRun"]
  },
  {
    "id": "trailing",
    "label": "Trailing stop",
    "about": "Follows the best price, and swaps once the price falls behind it by so much.",
    "schema": "StopOrder",
    "type": "market",
    "required": ["side", "amount", "trailBps"],
    "main": ["side", "amount", "inputMint", "outputMint", "mode", "trailBps", "expiresAt"],
    "more": ["slippageBps", "maxPriceImpactBps", "bracket.takeProfit.price", "bracket.takeProfit.bps", "bracket.stop.price", "bracket.stop.bps", "bracket.stop.limitPrice", "ocoGroup", "wallet", "tag", "closeAccount", "dryRun"]
  },
  {
    "id": "recurring",
    "label": "Recurring",
    "about": "Swaps an amount in equal parts, one after each interval.",
    "schema": "RecurringOrder",
    "type": "recurring",
    "required": ["side", "amount", "slices", "every"],
    "main": ["side", "amount", "inputMint", "outputMint", "mode", "slices", "every", "startAt"],
    "more": ["minPrice", "maxPrice", "missed", "expiresAt", "slippageBps", "maxPriceImpactBps", "deadlineSeconds", "wallet", "tag", "closeAccount", "dryRun"]
  },
  {
    "id": "sniper",
    "label": "Sniper",
    "about": "Waits for the launch of a token, and buys it once its pool fulfils the conditions.",
    "schema": "SniperOrder",
    "type": "sniper",
    "required": ["mint", "amount"],
    "main": ["mint", "amount", "inputMint", "conditions.minLiquidity", "conditions.maxPrice", "conditions.maxPriceImpactBps", "conditions.mintAuthorityRevoked", "conditions.freezeAuthorityRevoked", "expiresAt"],
    "more": ["conditions.maxAgeMs", "conditions.maxTransferFeeBps", "conditions.venues", "slippageBps", "ocoGroup", "wallet", "tag", "closeAccount", "dryRun"]
  }
];

/** The fields that can be changed while an order rests, by what it is sent as. @type {Record<string, string[]>} */
export const CHANGEABLE = {
  "market": ["triggerPrice", "triggerWhen", "trailBps", "limitPrice", "amount", "expiresAt"],
  "limit": ["limitPrice", "triggerPrice", "triggerWhen", "trailBps", "amount", "expiresAt"],
  "recurring": ["minPrice", "maxPrice", "expiresAt"],
  "sniper": ["amount", "conditions.minLiquidity", "conditions.maxPrice", "conditions.maxPriceImpactBps", "conditions.maxAgeMs", "conditions.maxTransferFeeBps", "conditions.venues", "conditions.mintAuthorityRevoked", "conditions.freezeAuthorityRevoked", "expiresAt"]
};

/** @type {Record<string, Field>} */
export const FIELDS = {
  "side": {"label": "Side", "control": "radio", "choices": {"buy": "Buy", "sell": "Sell"}},
  "amount": {"label": "Amount", "control": "decimal", "unit": "counted", "example": "0.01"},
  "mode": {"label": "Amount is", "control": "choice", "choices": {"exactIn": "what is spent", "exactOut": "what is received"}},
  "inputMint": {"label": "Input", "control": "token"},
  "outputMint": {"label": "Output", "control": "token"},
  "slippageBps": {"label": "Slippage", "control": "integer", "unit": "bps", "example": "50"},
  "minOut": {"label": "Receive at least", "control": "decimal", "unit": "other"},
  "maxIn": {"label": "Spend at most", "control": "decimal", "unit": "other"},
  "limitPrice": {"label": "Limit price", "control": "decimal", "unit": "price"},
  "timeInForce": {"label": "Time in force", "control": "choice", "choices": {"": "by default", "GTC": "GTC: until it is filled or cancelled", "GTT": "GTT: until it expires", "IOC": "IOC: one try, now", "FOK": "FOK: all in one try, now"}},
  "expiresAt": {"label": "Expires", "control": "time", "hint": "Empty: not before it is filled or cancelled."},
  "triggerPrice": {"label": "Trigger price", "control": "decimal", "unit": "price"},
  "triggerWhen": {"label": "Trigger side", "control": "choice", "choices": {"": "choose", "above": "at or above it", "below": "at or below it"}},
  "trailBps": {"label": "Trail", "control": "integer", "unit": "bps", "example": "300"},
  "slices": {"label": "Parts", "control": "integer", "example": "12"},
  "every": {"label": "One every", "control": "text", "hint": "An ISO 8601 duration: PT5M is 5 minutes.", "example": "PT5M"},
  "startAt": {"label": "Starts", "control": "time", "hint": "Empty: now."},
  "missed": {"label": "Parts missed in an outage", "control": "choice", "choices": {"": "by default", "skip": "left out", "catchUp": "made as soon as possible"}},
  "minPrice": {"label": "Not at a price below", "control": "decimal", "unit": "price"},
  "maxPrice": {"label": "Not at a price above", "control": "decimal", "unit": "price"},
  "maxPriceImpactBps": {"label": "Price impact at most", "control": "integer", "unit": "bps"},
  "deadlineSeconds": {"label": "Deadline", "control": "integer", "unit": "seconds"},
  "bracket.takeProfit.price": {"label": "Take profit at", "control": "decimal", "unit": "price"},
  "bracket.takeProfit.bps": {"label": "or at a gain of", "control": "integer", "unit": "bps"},
  "bracket.stop.price": {"label": "Stop at", "control": "decimal", "unit": "price"},
  "bracket.stop.bps": {"label": "or at a loss of", "control": "integer", "unit": "bps"},
  "bracket.stop.limitPrice": {"label": "Stop not worse than", "control": "decimal", "unit": "price"},
  "ocoGroup": {"label": "One-cancels-other group", "control": "text", "example": "exit-7"},
  "wallet": {"label": "Wallet", "control": "wallet"},
  "payer": {"label": "Payer, who signs it", "control": "text", "hint": "The address of your own wallet. The order then waits for your signature."},
  "tag": {"label": "Tag", "control": "text", "example": "strategy-1"},
  "closeAccount": {"label": "Close the emptied token account", "control": "flag"},
  "dryRun": {"label": "Dry run: only simulate", "control": "flag"},
  "mint": {"label": "Token to wait for", "control": "text", "hint": "Its mint address. It need not exist yet."},
  "conditions.minLiquidity": {"label": "Liquidity at least", "control": "decimal", "unit": "spent", "example": "20"},
  "conditions.maxPriceImpactBps": {"label": "Price impact at most", "control": "integer", "unit": "bps"},
  "conditions.maxPrice": {"label": "Price at most", "control": "decimal", "unit": "spent", "hint": "For one token, fees included."},
  "conditions.maxAgeMs": {"label": "Pool is younger than", "control": "integer", "unit": "ms"},
  "conditions.mintAuthorityRevoked": {"label": "Mint authority is revoked", "control": "flag"},
  "conditions.freezeAuthorityRevoked": {"label": "Freeze authority is revoked", "control": "flag"},
  "conditions.maxTransferFeeBps": {"label": "Transfer fee at most", "control": "integer", "unit": "bps"},
  "conditions.venues": {"label": "Only these venues", "control": "names", "hint": "Separated by commas."}
};
