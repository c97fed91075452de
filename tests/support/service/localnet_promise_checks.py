"""The oracle for orders that settle on a localnet: it reads over JSON-RPC from the chain itself what landed."""

# It reads every finalized transaction of the wallet, and of the vaults that these traded with, and fails unless
# * each one that the wallet paid for is recorded as an attempt, and each attempt's record matches the chain;
# * each swap moved the same amounts for the wallet and for the vaults;
# * wallet and vaults now hold, to the unit, what they were given plus the orders' fills, less the network fees.

import json
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dexexec.domain.swap import Landed
from dexexec.domain.token import WSOL
from dexexec.store import Address
from tests.support.service.promise_checks import rows

ATTEMPTS = "SELECT order_id, n, outcome, signature FROM attempts ORDER BY order_id, n"
FILLS = """
SELECT side, input_mint, output_mint, amount_in, amount_out FROM orders
WHERE amount_in IS NOT NULL AND status <> 'simulated' AND type <> 'recurring'
"""
"""A recurring order has the sums of its slices, which are orders of their own."""
FINALIZED = {"commitment": "finalized"}
BODY = {"encoding": "json", "maxSupportedTransactionVersion": 0, **FINALIZED}
PAGE = 1_000
AT_ONCE = 100
"""Calls in one request."""
LAMPORTS = "lamports"
"""The key for the chain's own coin where balances are counted by mint."""
SECONDS = 30.0

Coins = Mapping[str, int]
"""Base units by mint."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction on chain: who paid for it, and what it changed, by account."""

    signature: str
    payer: str
    slot: int
    fee: int
    failed: bool
    lamports: Mapping[str, int]
    """By account: what it holds more."""
    tokens: Mapping[tuple[str, str, str], int]
    """By account, its owner and mint: what it holds more."""


@dataclass
class LocalnetChain:
    """A `Chain` for `check_promises`: the localnet at `url`, and the wallet that all workers sign with.

    `fees` (lamports), `failed` (transactions) and `conserved` (a line for people) are the results of the last call.
    """

    url: str
    wallet: str
    fees: int = 0
    failed: int = 0
    conserved: str = "not conserved, or not asked"
    _ids: Iterator[int] = field(default_factory=lambda: iter(range(2**62)))

    def __call__(self, address: Address) -> dict[str, list[Landed]]:
        """Order -> its swaps that the chain shows."""
        found = self._transactions()
        ours = {one.signature: one for one in found.values() if one.payer == self.wallet}
        gifts = [one for one in found.values() if one.payer != self.wallet]
        landed: defaultdict[str, list[Landed]] = defaultdict(list)
        recorded = rows(address, ATTEMPTS)
        strangers = ours.keys() - {str(row["signature"]) for row in recorded}
        assert not strangers, f"transactions that no attempt records: {strangers}"
        for row in recorded:
            swap = ours.get(str(row["signature"]))
            reported = None if swap is None else "failed" if swap.failed else "landed"
            assert (row["outcome"] if row["outcome"] in {"landed", "failed"} else None) == reported, (row, swap)
            if swap is not None and not swap.failed:
                landed[str(row["order_id"])].append(Landed(self._moved(swap), swap.fee, swap.slot, finalized=True))
        self.fees, self.failed = sum(one.fee for one in ours.values()), sum(one.failed for one in ours.values())
        fills = _fills(address)
        self._check_conservation(list(ours.values()), gifts, fills)
        reported = ", ".join(f"{amount:+} {mint[:4]}" for mint, amount in sorted(fills.items()))
        self.conserved = f"conserved to the unit ({reported}; {self.fees} lamports of fees)"
        return dict(landed)

    def _moved(self, swap: Transaction) -> dict[str, int]:
        """What a swap moved for the wallet, by what its vaults hold less; the wallet must hold as much more."""
        gained = Counter(self._held(swap))
        lost: Counter[str] = Counter()
        for (_, owner, mint), change in swap.tokens.items():
            if owner != self.wallet:
                lost[mint] -= change
        gained[WSOL] = gained.pop(LAMPORTS) + swap.fee
        moved = {mint: change for mint, change in gained.items() if change}
        assert moved == {mint: change for mint, change in lost.items() if change}, swap
        return moved

    def _held(self, transaction: Transaction) -> dict[str, int]:
        """The change of the wallet's balances by a transaction: tokens by mint, and lamports over all its accounts."""
        mine = {self.wallet} | {account for account, owner, _ in transaction.tokens if owner == self.wallet}
        held: Counter[str] = Counter()
        held[LAMPORTS] = sum(change for account, change in transaction.lamports.items() if account in mine)
        for (_, owner, mint), change in transaction.tokens.items():
            if owner == self.wallet and mint != WSOL:
                held[mint] += change
        return dict(held)

    def _check_conservation(self, ours: Sequence[Transaction], gifts: Sequence[Transaction], fills: Coins) -> None:
        """Fail unless nothing appeared and nothing vanished."""
        given: Counter[str] = Counter()
        filled: Counter[tuple[str, str]] = Counter()  # vaults: what they were given, by account and mint
        for gift in gifts:
            given.update(self._held(gift))
            for (account, owner, mint), change in gift.tokens.items():
                assert change >= 0, f"somebody else took from {account}: {gift}"
                if owner != self.wallet:
                    filled[account, mint] += change
        accounts = {key for one in (*ours, *gifts) for key in one.tokens}
        now = self._balances({account for account, _, _ in accounts})
        holds: Counter[str] = Counter()
        holds[LAMPORTS] = self._call("getBalance", self.wallet, FINALIZED)["value"]
        vaults: Counter[str] = Counter()
        for account, owner, mint in accounts:
            lamports, amount = now[account]
            if owner != self.wallet:
                vaults[mint] += amount - filled[account, mint]
                continue
            holds[LAMPORTS] += lamports
            if mint != WSOL:
                holds[mint] += amount
        holds.subtract(given)
        holds[WSOL] = holds.pop(LAMPORTS) + self.fees
        assert _some(holds) == _some(fills), f"the wallet has {_some(holds)} more, the orders' fills: {_some(fills)}"
        gained = {mint: -amount for mint, amount in vaults.items()}
        assert _some(gained) == _some(fills), f"the vaults gave {_some(gained)}, the orders' fills are {_some(fills)}"

    def _transactions(self) -> dict[str, Transaction]:
        """All of the wallet's, and all of the accounts that hold tokens in them."""
        found: dict[str, Transaction] = {}
        asked: set[str] = set()
        wanted = {self.wallet}
        while wanted:
            asked |= wanted
            signatures = {one for account in wanted for one in self._signatures(account)} - found.keys()
            found |= {one.signature: one for one in self._read(sorted(signatures))}
            wanted = {account for one in found.values() for account, _, _ in one.tokens} - asked
        return found

    def _signatures(self, account: str) -> Iterator[str]:
        before: dict[str, str] = {}
        while page := self._call("getSignaturesForAddress", account, {"limit": PAGE, **before, **FINALIZED}):
            yield from (one["signature"] for one in page)
            before = {"before": page[-1]["signature"]}

    def _read(self, signatures: Sequence[str]) -> Iterator[Transaction]:
        for some in _batches(signatures):
            for body in self._calls([("getTransaction", [signature, BODY]) for signature in some]):
                yield _transaction(body)

    def _balances(self, accounts: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Lamports and tokens of token accounts; of one that is closed, none."""
        found = {}
        for some in _batches(sorted(accounts)):
            how = {"encoding": "jsonParsed", **FINALIZED}
            values = self._call("getMultipleAccounts", list(some), how)["value"]
            for account, value in zip(some, values, strict=True):
                info = value and value["data"]["parsed"]["info"]
                found[account] = (value["lamports"], int(info["tokenAmount"]["amount"])) if value else (0, 0)
        return found

    def _call(self, method: str, *params: object) -> Any:
        [answer] = self._calls([(method, list(params))])
        return answer

    def _calls(self, calls: Sequence[tuple[str, list[object]]]) -> list[Any]:
        """The results, in order."""
        body = [{"jsonrpc": "2.0", "id": next(self._ids), "method": name, "params": given} for name, given in calls]
        request = urllib.request.Request(  # noqa: S310 - http, to this machine
            self.url, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
            answers = json.load(answer)
        assert [one["id"] for one in answers] == [one["id"] for one in body], answers
        return [one["result"] for one in answers]


def _transaction(body: Any) -> Transaction:
    meta, message = body["meta"], body["transaction"]["message"]
    keys: list[str] = message["accountKeys"]
    assert not any(meta["loadedAddresses"].values()), "accounts from a lookup table"
    tokens: Counter[tuple[str, str, str]] = Counter()
    for sign, when in ((-1, "pre"), (1, "post")):
        for one in meta[f"{when}TokenBalances"]:
            key = keys[one["accountIndex"]], one["owner"], one["mint"]
            tokens[key] += sign * int(one["uiTokenAmount"]["amount"])
    lamports = {key: now - was for key, was, now in zip(keys, meta["preBalances"], meta["postBalances"], strict=True)}
    signature, payer = body["transaction"]["signatures"][0], keys[0]
    return Transaction(signature, payer, body["slot"], meta["fee"], meta["err"] is not None, lamports, dict(tokens))


def _fills(address: Address) -> dict[str, int]:
    """The sum of the orders' recorded fills."""
    total: Counter[str] = Counter()
    for row in rows(address, FILLS):
        spent, received = str(row["input_mint"]), str(row["output_mint"])
        if row["side"] == "sell":
            spent, received = received, spent
        total[spent] -= int(str(row["amount_in"]))
        total[received] += int(str(row["amount_out"]))
    return dict(total)


def _batches(values: Sequence[str]) -> Iterator[Sequence[str]]:
    return (values[first : first + AT_ONCE] for first in range(0, len(values), AT_ONCE))


def _some(coins: Coins) -> dict[str, int]:
    return {mint: amount for mint, amount in coins.items() if amount}
