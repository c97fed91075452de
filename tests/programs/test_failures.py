"""What goes wrong for the whole service on real programs, and the reason that each order then names."""

from pathlib import Path
from random import Random
from typing import Any

import pytest
from solders.account import Account
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from dexexec.clock import SystemClock
from dexexec.domain import base58
from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.token import USDC, WSOL, Token
from dexexec.settlement.solana.rpc import Localnet
from dexexec.venue import VenueContext
from dexexec.venues.registry import VenueClass
from dexexec_adapters.meteora.venue import Meteora
from dexexec_adapters.raydium.venue import Raydium
from tests.programs import dumps
from tests.programs.independent_checks import outside
from tests.programs.localnet import sealer_of
from tests.programs.service import (
    VENUES,
    Order,
    ServiceOnPrograms,
    body,
    followed,
    post,
    read,
    service_on_programs,
    serving,
)
from tests.programs.tokens import TOKENS, key
from tests.support import meteora_accounts, raydium_accounts
from tests.support.attempts import an_attempt
from tests.support.localnet.in_process import rpc
from tests.support.localnet.rpc_chains import RecordingListener, open_chain
from tests.support.service.client import Http
from tests.support.waiting import until

pytestmark = [dumps.needed, pytest.mark.timeout(300)]

SHUT = Token(base58.encode(bytes([8]) * 32), "SHUT", 6)
"""A token whose pools are all disabled."""
ONCE = {"DEXEXEC_MAX_ATTEMPTS": "1", "DEXEXEC_TOKENS": f"{VENUES['DEXEXEC_TOKENS']},{SHUT.mint}:SHUT:6"}
KINDS: dict[str, VenueClass] = {"raydium": Raydium, "meteora": Meteora}
SELL_SOL = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=5 * 10**9, mode=Mode.EXACT_IN, slippage_bps=10)
BUY_USDC = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=700 * 10**6, mode=Mode.EXACT_OUT, slippage_bps=10)
BUY_SOL = SwapRequest(mint_in=USDC, mint_out=WSOL, amount=700 * 10**6, mode=Mode.EXACT_IN, slippage_bps=10)
CROWD = 1_000_000


def shut_pools() -> list[tuple[Pubkey, Account]]:
    """A disabled pool of each venue, as recorded."""
    closed = raydium_accounts.pool_of((SHUT.mint, USDC), 1, (329, b"\4"))
    disabled = meteora_accounts.pool_of(
        (SHUT.mint, USDC), 2, meteora_accounts.ONLY_B, (meteora_accounts.STATUS_AT, b"\1")
    )
    held = {
        **raydium_accounts.pool_accounts(raydium_accounts.address(30), closed),
        raydium_accounts.address(31): meteora_accounts.pool_account(disabled),
        **meteora_accounts.around(disabled),
    }
    there = {raydium_accounts.key(closed, raydium_accounts.CONFIG_AT), USDC}  # the market has them
    return [
        (key(place), Account(one.lamports, one.data, key(one.owner)))
        for place, one in held.items()
        if place not in there
    ]


async def ended(calls: Http, url: str, order_id: str) -> Order:
    """The order, which has failed."""
    await followed(url, [order_id])
    [order] = await read(calls, url, [order_id])
    assert order["status"] == "failed", order
    return order


def words(order: Order) -> str:
    """The detail of its last event."""
    return str(order["events"][-1]["detail"])


@pytest.mark.gen_test(timeout=280)
async def test_slippage_expiry_and_disabled_pools_are_named(given: dict[str, str], tmp_path: Path, seed: int) -> None:
    async with service_on_programs(given, tmp_path, seed, *shut_pools()) as on:
        wallet, mover, chance = await on.trader(), await on.trader(), Random(seed)
        async with outside(on.url, wallet.pubkey()) as independent:
            orders: list[Order] = []
            for name in KINDS:
                async with serving(on, wallet, **ONCE, DEXEXEC_ADAPTERS=name) as (url, calls):
                    for request in (SELL_SOL, BUY_USDC):
                        order = await front_run(on, calls, url, body(request, chance), mover, request)
                        assert (order["failureReason"], order["venue"]) == ("slippage", name), order
                        assert [one["outcome"] for one in order["attempts"]] == ["failed"]
                        orders.append(order)
            async with serving(on, wallet, **ONCE) as (url, calls):
                shut = SwapRequest(mint_in=USDC, mint_out=SHUT.mint, amount=10**6, mode=Mode.EXACT_IN, slippage_bps=50)
                order_id = await post(calls, url, {**body(SELL_SOL, chance), **body_of(shut)})
                order = await ended(calls, url, order_id)
                assert order["failureReason"] == "no-route"
                for venue, place in (("raydium", 30), ("meteora", 31)):
                    assert f"{venue}: the pool {raydium_accounts.address(place)}" in words(order)
                assert "disabled" in words(order) or "closed" in words(order)
                orders.append(order)

                await on.faults(drop=CROWD)
                order = await ended(calls, url, await post(calls, url, body(SELL_SOL, chance)))
                assert order["failureReason"] == "attempt-expired", order
                assert [one["outcome"] for one in order["attempts"]] == ["expired"]
                orders.append(order)
                await on.faults()
                done = await post(calls, url, body(SELL_SOL, chance))
                await followed(url, [done])
                orders += await read(calls, url, [done])
            tally = await independent.check(orders)
            assert tally.equal == 1, "after all that, a swap is as quoted"
            moves = [move for move in (await independent.moves()).values() if move.failed]
            assert len(moves) == 4
            assert all(move.fee > 0 and not move.moved for move in moves), "a swap that fails costs the fee alone"


def body_of(request: SwapRequest) -> dict[str, Any]:
    """An order for a token that the market does not have."""
    assert request.mode is Mode.EXACT_IN
    return {
        "side": "buy",
        "amount": "1",
        "inputMint": request.mint_in,
        "outputMint": request.mint_out,
        "mode": "exactIn",
    }


async def front_run(
    on: ServiceOnPrograms, calls: Http, url: str, order: dict[str, Any], mover: Keypair, request: SwapRequest
) -> Order:
    """The order's swap is lost on its way until a third party has swapped far more in its pool."""
    await on.faults(drop=CROWD)
    order_id = await post(calls, url, order)
    watch = await followed(url, [order_id], "submitted")
    [route] = [event["route"] for event in watch.events[order_id] if "route" in event]
    assert isinstance(route, list)
    venue = next(event["venue"] for event in watch.events[order_id] if "route" in event)
    large = SwapRequest(
        mint_in=request.mint_in,
        mint_out=request.mint_out,
        amount=large_amount(request),
        mode=Mode.EXACT_IN,
        slippage_bps=500,
    )
    await move(on, str(venue), str(route[0]), mover, large)
    await on.faults()
    return await ended(calls, url, order_id)


def large_amount(request: SwapRequest) -> int:
    """About 30,000 USDC worth: percents of a pool."""
    return 30_000 * 10**6 if request.mint_in == USDC else 200 * 10**9


async def move(on: ServiceOnPrograms, venue: str, pool: str, mover: Keypair, request: SwapRequest) -> None:
    """Swap in a pool with another wallet, through another node."""
    clock = SystemClock()
    async with open_chain(Localnet([on.other_node], clock, RecordingListener())) as chain:
        made = KINDS[venue].Options.model_validate({"cluster": "localnet", "pools": (pool,)})
        trader = KINDS[venue](VenueContext(clock, TOKENS, chain, made, cluster="localnet"))
        quote = await trader.quote(request, clock.monotonic() + 10)
        built = await trader.build(quote, str(mover.pubkey()), await chain.blockhash())
        sealed = await sealer_of(chain, clock, mover).seal(trader, quote, built, clock.monotonic() + 10, an_attempt())
        await chain.submit(sealed.signed)
        await trader.aclose()

        async def landed() -> bool:
            found = await rpc(on.other_node, "getSignatureStatuses", [sealed.signed.signature])
            return found["value"][0] is not None

        await until(landed, pause=0.02)


@pytest.mark.gen_test(timeout=280)
async def test_what_a_wallet_lacks_is_named_before_anything_is_sent(
    given: dict[str, str], tmp_path: Path, seed: int
) -> None:
    async with service_on_programs(given, tmp_path, seed) as on:
        chance = Random(seed)
        empty = Keypair(), [(SELL_SOL, "SOL"), (BUY_SOL, "SOL")]
        without_lamports = await on.trader(lamports=0), [(SELL_SOL, "SOL"), (BUY_SOL, "SOL")]
        without_tokens = (
            await on.trader(tokens=0),
            [
                (BUY_SOL, "USDC"),
                (SwapRequest(mint_in=USDC, mint_out=WSOL, amount=10**9, mode=Mode.EXACT_OUT, slippage_bps=10), "USDC"),
            ],
        )
        for wallet, requests in (empty, without_lamports, without_tokens):
            async with outside(on.url, wallet.pubkey()) as independent, serving(on, wallet, **ONCE) as (url, calls):
                for request, lacking in requests:
                    order = await ended(calls, url, await post(calls, url, body(request, chance)))
                    assert order["failureReason"] == "insufficient-funds", (order["failureReason"], words(order))
                    assert lacking in words(order), words(order)
                    assert not order["attempts"]
                assert await independent.moves() == {}
