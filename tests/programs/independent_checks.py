"""Independent checks: solana-py's client, which shares no code with the service, reads what happened on the chain."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count, takewhile
from typing import Any

from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Finalized
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.token import ID as TOKEN
from solders.token.state import TokenAccount
from solders.transaction_status import TransactionConfirmationStatus

from dexexec.domain.token import WSOL
from tests.programs.market import Market
from tests.programs.service import Order
from tests.programs.tokens import TOKENS, ata, key

PAGE = 500


@dataclass(frozen=True, slots=True)
class Move:
    """A transaction of the wallet as the chain has it: what it holds more afterwards, fees aside."""

    signature: str
    slot: int
    failed: bool
    fee: int
    moved: dict[str, int]


@dataclass
class Tally:
    """What became of the orders' swaps."""

    counts: Counter[str]
    equal: int = 0
    moved: int = 0


@dataclass(frozen=True, slots=True)
class Outside:
    """Reads finalized state."""

    client: AsyncClient
    wallet: Pubkey

    async def signatures(self, address: Pubkey) -> list[str]:
        """All transactions that name an address, in the order in which they landed."""
        found: list[Any] = []
        for _ in count():
            before = found[-1].signature if found else None
            page = (await self.client.get_signatures_for_address(address, before=before, limit=PAGE)).value
            if not page:
                break
            found += page
        return [str(one.signature) for one in reversed(found)]

    async def moves(self) -> dict[str, Move]:
        """What the wallet paid for, by signature."""
        found = [await self._move(signature) for signature in await self.signatures(self.wallet)]
        return {move.signature: move for move in found if move}

    async def check_finalized(self, signatures: Sequence[str]) -> None:
        """Fail unless all of them are, without an error."""
        for first in range(0, len(signatures), 200):
            asked = [Signature.from_string(one) for one in signatures[first : first + 200]]
            answer = await self.client.get_signature_statuses(asked, search_transaction_history=True)
            for one in answer.value:
                assert one is not None
                assert one.err is None
                assert one.confirmation_status == TransactionConfirmationStatus.Finalized

    async def totals(self, market: Market) -> dict[str, int]:
        """What there is of each token, in all hands: wrapped SOL, and the wallets' lamports, count together."""
        creator = market.creator.pubkey()
        own = [ata(self.wallet, token.mint) for token in TOKENS]
        total: Counter[str] = Counter({WSOL: 0})
        for wallet in (self.wallet, creator):
            total[WSOL] += (await self.client.get_balance(wallet)).value
        addresses = [*own, *(key(one) for one in market.holders if one != str(creator))]
        for first in range(0, len(addresses), 100):
            found = await self.client.get_multiple_accounts(addresses[first : first + 100])
            for account in found.value:
                if account is not None:
                    assert account.owner == TOKEN
                    held = TokenAccount.from_bytes(account.data)
                    mint = str(held.mint)
                    total[mint] += account.lamports if mint == WSOL else held.amount
        return dict(total)

    async def check(self, orders: Sequence[Order]) -> Tally:
        """Fail unless the chain shows exactly what the orders report. Amounts that differ from the quote are allowed
        only where another swap of the same pool came in between, and within the order's bound."""
        moves = await self.moves()
        recorded = {str(attempt["txHash"]) for order in orders for attempt in order["attempts"]}
        assert set(moves) <= recorded, "a transaction that no attempt records"
        landed = {signature: move for signature, move in moves.items() if not move.failed}
        confirmed = [order for order in orders if order["status"] == "confirmed"]
        hashes = [str(order["txHash"]) for order in confirmed]
        assert len(set(hashes)) == len(hashes), "two orders with one transaction"
        assert set(hashes) == set(landed), "an order landed twice, or one that has not failed did not land"
        await self.check_finalized(hashes)
        tally, of_pool = Tally(Counter()), {}
        for order in orders:
            tries = {str(attempt["txHash"]) for attempt in order["attempts"]}
            assert len(tries & set(landed)) == (order["status"] == "confirmed"), order
            if order["status"] != "confirmed":
                tally.counts[f"failed {order['failureReason']}"] += 1
                continue
            reported = quote_and_fill(order)
            for pool in reported["route"]:
                if pool not in of_pool:
                    named = await self.signatures(key(pool))
                    of_pool[pool] = [one for one in named if one in landed]
            alone = all(self._alone(order, reported, of_pool[pool], landed) for pool in reported["route"])
            self._compare(order, reported, landed[str(order["txHash"])], alone=alone)
            tally.counts[f"{order['venue']} {order['side']} {order['mode']}"] += 1
            tally.equal += reported["realised"] == reported["quoted"]
            tally.moved += reported["realised"] != reported["quoted"]
        return tally

    def _alone(self, order: Order, reported: dict[str, Any], swaps: Sequence[str], landed: dict[str, Move]) -> bool:
        """Whether no other swap of its pool landed between its quote and itself."""
        earlier = takewhile(lambda one: one != order["txHash"], swaps)
        return not any(landed[one].slot > reported["contextSlot"] for one in earlier)

    def _compare(self, order: Order, reported: dict[str, Any], move: Move, *, alone: bool) -> None:
        mint_in, mint_out = order["inputMint"], order["outputMint"]
        if order["side"] == "sell":
            mint_in, mint_out = mint_out, mint_in
        paid, received = reported["realised"]
        rest = dict(move.moved)
        assert (rest.pop(mint_in, 0), rest.pop(mint_out, 0)) == (-paid, received), (order, move)
        # Of the token that a route goes through, what the second pool did not need stays in the wallet.
        assert not rest or (order["venue"] == "hops" and min(rest.values()) > 0), (order, move)
        assert reported["slot"] == move.slot
        assert (paid, received) == reported["quoted"] or not alone, f"nobody came in between: {order}"
        if order["mode"] == "exactIn":
            assert paid == reported["quoted"][0]
            assert received >= reported["minOut"]
        else:
            assert received == reported["quoted"][1]
            assert paid <= reported["maxIn"]

    async def _move(self, signature: str) -> Move | None:
        """None for another fee payer."""
        answer = await self.client.get_transaction(
            Signature.from_string(signature), encoding="json", max_supported_transaction_version=1
        )
        assert answer.value is not None
        meta: Any = answer.value.transaction.meta
        keys = list(answer.value.transaction.transaction.message.account_keys)  # type: ignore[union-attr]
        if meta.loaded_addresses:
            keys += [*meta.loaded_addresses.writable, *meta.loaded_addresses.readonly]
        if str(keys[0]) != str(self.wallet):
            return None
        moved: Counter[str] = Counter()
        mine = {str(self.wallet)}
        for sign, balances in ((-1, meta.pre_token_balances), (1, meta.post_token_balances)):
            for one in balances:
                if str(one.owner) == str(self.wallet):
                    mine.add(str(keys[one.account_index]))
                    if str(one.mint) != WSOL:
                        moved[str(one.mint)] += sign * int(one.ui_token_amount.amount)
        # An account for wrapped SOL that is opened and closed again within the swap shows up nowhere: it costs nothing.
        for address, before, after in zip(keys, meta.pre_balances, meta.post_balances, strict=True):
            if str(address) in mine:
                moved[WSOL] += after - before
        moved[WSOL] += meta.fee
        change = {mint: amount for mint, amount in moved.items() if amount}
        return Move(signature, answer.value.slot, meta.err is not None, meta.fee, change)


def quote_and_fill(order: Order) -> dict[str, Any]:
    """The quote and the fill that a confirmed order reports."""
    [quote] = [one["quote"] for one in order["attempts"] if one["txHash"] == order["txHash"]]
    fill = order["fill"]
    quoted = int(quote["amountIn"]), int(quote["amountOut"])
    assert quoted == (int(fill["venueQuotedIn"]), int(fill["venueQuotedOut"])), order
    assert (order["amountIn"], order["amountOut"]) == (fill["amountIn"], fill["amountOut"]), order
    return {
        "route": quote["route"],
        "contextSlot": quote["contextSlot"],
        "minOut": int(quote["minOut"]),
        "maxIn": int(quote["maxIn"]),
        "slot": fill["slot"],
        "quoted": quoted,
        "realised": (int(fill["amountIn"]), int(fill["amountOut"])),
    }


@asynccontextmanager
async def outside(url: str, wallet: Pubkey) -> AsyncIterator[Outside]:
    """A check of what a wallet did on the chain behind `url`."""
    async with AsyncClient(url, commitment=Finalized) as client:
        yield Outside(client, wallet)


def fees(moves: Iterable[Move]) -> int:
    """Lamports."""
    return sum(move.fee for move in moves)
