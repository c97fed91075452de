// What the wallets hold, and how much of it open orders have reserved.

import { copyButton } from "./copying.js";
import { el, fill, scrolled } from "./dom.js";
import { patch } from "./dom_patch.js";
import { amount, shortAddress } from "./format.js";

/** @type {import("./types.js").Mount} */
export function mount(container, context) {
  const body = el("tbody");
  const empty = el("p", { class: "empty" });
  const columns = ["Wallet", "Address", "Token", "Balance", "Reserved", "Free"];
  const frame = scrolled("Wallets", el("table", { class: "data", "aria-label": "Wallets" },
    el("thead", null, el("tr", null, columns.map((name) => el("th", { scope: "col", class: /Balance|Reserved|Free/.test(name) ? "num" : null }, name)))),
    body));
  container.append(el("section", { class: "panel" }, el("h2", { class: "panel-head" }, "Wallets"), frame, empty));
  let drawn = "";

  return {
    update: () => {
      const overview = context.overview();
      const now = JSON.stringify(overview?.wallets ?? null);
      if (!overview || now === drawn) return;
      drawn = now;
      const { wallets } = overview;
      frame.hidden = !wallets?.length;
      empty.hidden = Boolean(wallets?.length);
      fill(empty, wallets ? "No balances: the simulated chain has none, and a process without a worker reads none." : "A key with the scope admin sees the wallets.");
      patch(body, (wallets ?? []).flatMap((wallet) => wallet.balances.map((balance, index) => {
        const token = { mint: balance.mint, symbol: balance.symbol, decimals: balance.decimals ?? context.token(balance.mint).decimals };
        // No node has answered yet: then what is free is not known either.
        const free = balance.amount === null ? null : BigInt(balance.amount) - BigInt(balance.reserved);
        return el("tr", null,
          el("th", { scope: "row" }, wallet.name),
          el("td", { title: wallet.address }, index === 0 && [el("span", { class: "mono" }, shortAddress(wallet.address)), " ", copyButton(wallet.address, `the address of ${wallet.name}`)]),
          el("td", null, balance.symbol), el("td", { class: "num" }, amount(balance.amount, token)),
          el("td", { class: "num" }, balance.reserved === "0" ? "–" : amount(balance.reserved, token)),
          el("td", { class: free !== null && free < 0n ? "num bad" : "num" }, amount(free === null ? null : String(free), token)));
      })));
    },
    unmount: () => {},
  };
}
