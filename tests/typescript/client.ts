// A client of the service in TypeScript, on the types that openapi-typescript makes of /openapi.json: it places an
// order, follows it over a WebSocket, cancels another, and reads a refusal. `.ci/typescript` runs it.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { env: Record<string, string | undefined> };
type Event = components["schemas"]["Event"];

const url = process.env.BASE_URL ?? "http://127.0.0.1:3000";
const key = process.env.DEXEXEC_API_KEY;
const api = createClient<paths>({ baseUrl: url, headers: key ? { Authorization: `Bearer ${key}` } : {} });
// A browser cannot send a header with a WebSocket: the key is a sub-protocol there.
const protocols = key ? ["dexexec.v1", `dexexec.bearer.${key}`] : [];

/** The events of an order after `afterSeq`, until the final one. */
function follow(orderId: string, afterSeq: number): Promise<Event[]> {
  return new Promise((resolve, reject) => {
    const events: Event[] = [];
    const socket = new WebSocket(`${url.replace("http", "ws")}/api/orders/execute`, protocols);
    socket.onopen = () => socket.send(JSON.stringify({ orderId, afterSeq }));
    socket.onclose = () => reject(new Error("the socket closed: a real client connects again, with afterSeq"));
    socket.onmessage = (message: MessageEvent<string>) => {
      const event = JSON.parse(message.data) as Event;
      events.push(event);
      if (event.final) resolve(events), socket.close();
    };
  });
}

function check(holds: boolean, text: string): asserts holds {
  if (!holds) throw new Error(text);
}

const { data: posted } = await api.POST("/api/orders/execute", {
  params: { header: { "Idempotency-Key": crypto.randomUUID() } },
  body: { side: "buy", amount: "0.01" },
});
check(posted !== undefined, "the order was not accepted");
const events = await follow(posted.orderId, 0);
check(events.every((event, n) => event.seq === n + 1), "events are missing");
check(events.at(-1)?.status === "confirmed", "the order was not filled");
check((await follow(posted.orderId, 2))[0]?.seq === 3, "afterSeq did not resume");

const limit = { type: "limit", side: "buy", amount: "0.5", limitPrice: "900" } as const;
const { data: resting } = await api.POST("/api/orders/execute", { body: limit });
check(resting !== undefined, "the limit order was not accepted");
const path = { params: { path: { id: resting.orderId } } };
check((await api.DELETE("/api/orders/{id}", path)).data?.status === "cancelled", "it was not cancelled");

const { error, response } = await api.POST("/api/orders/execute", { body: { side: "buy", amount: "-1" } });
check(response.status === 422 && error?.type === "/problems/invalid-order", "a bad order was not refused");
check(error.errors?.[0]?.field === "amount", "the refusal does not name the field");
console.log(`typescript: ${events.length} events, one cancel and one refusal are as the schema has them`);
