// What both clients use: the addresses of the localnet, tokens, and checks that end the run.
export const rpcUrl = process.env.RPC_URL;
export const webSocketUrl = process.env.WEBSOCKET_URL;
export const MINT = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";
export const TOKEN_PROGRAM = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA";
const SECONDS = 20;

export function check(holds, text) {
  if (!holds) throw new Error(text);
}

/** What a subscription gives to its first call of `done`. */
export function notified(name, subscribe) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${name}: no notification`)), SECONDS * 1_000);
    subscribe((value) => (clearTimeout(timer), resolve(value)));
  });
}

export async function call(method, ...params) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
  const response = await fetch(rpcUrl, { method: "POST", headers: { "Content-Type": "application/json" }, body });
  const { result, error } = await response.json();
  check(!error, `${method}: ${error?.message}`);
  return result;
}

/** Gives `owner` tokens; returns the signature. */
export async function fund(owner, amount) {
  return call("localnet_fund", owner, MINT, 6, amount);
}
