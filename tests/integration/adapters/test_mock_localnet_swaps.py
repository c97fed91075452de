"""Swaps of the mock venues on a localnet, one by one and at once: what moves, who pays, and what stays unsigned."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from solders.pubkey import Pubkey

from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.solana import Instruction, SwapInstructions
from dexexec.domain.swap import fill_of
from dexexec.domain.token import USDC, WSOL
from dexexec.settlement.solana.message import compute_unit_limit, memo
from dexexec.settlement.solana.transaction import compile_message
from dexexec.venue import BadAnswer, InsufficientFunds, QuoteExpired, Slippage, Timeout
from dexexec.venues.registry import VenueClass
from dexexec_adapters.curves import cpmm
from dexexec_adapters.curves.swap import ChainTime, TradeDirection
from dexexec_adapters.mock.meteora import MockMeteora
from dexexec_adapters.mock.raydium import CONFIG, MockRaydium
from dexexec_adapters.solana import spl
from dexexec_adapters.solana.keys import Authority, associated, read_message
from tests.support.localnet.in_process import SOL
from tests.support.localnet.mock_venue_setup import PEPE, MockVenueSetup, mock_venue_setup

VENUES = (MockRaydium, MockMeteora)
each_venue = pytest.mark.parametrize("venue_class", VENUES, ids=lambda venue: venue.name)
DOLLAR = 10**6
ALL = (WSOL, USDC, PEPE.mint)
SWAPS = [
    SwapRequest(mint_in=WSOL, mint_out=USDC, amount=3 * SOL, mode=Mode.EXACT_IN, slippage_bps=50),
    SwapRequest(mint_in=WSOL, mint_out=USDC, amount=700 * DOLLAR, mode=Mode.EXACT_OUT, slippage_bps=50),
    SwapRequest(mint_in=USDC, mint_out=WSOL, amount=1_234_567_891, mode=Mode.EXACT_IN, slippage_bps=50),
    SwapRequest(mint_in=USDC, mint_out=WSOL, amount=SOL // 7, mode=Mode.EXACT_OUT, slippage_bps=50),
    SwapRequest(mint_in=PEPE.mint, mint_out=USDC, amount=123_456_789, mode=Mode.EXACT_IN, slippage_bps=50),
    SwapRequest(mint_in=USDC, mint_out=PEPE.mint, amount=1_000_003, mode=Mode.EXACT_OUT, slippage_bps=50),
    SwapRequest(mint_in=PEPE.mint, mint_out=WSOL, amount=99_999, mode=Mode.EXACT_IN, slippage_bps=50),
]


async def quoted(on: MockVenueSetup, venue: Any, request: SwapRequest) -> Quote:
    quote: Quote = await venue.quote(request, on.clock.monotonic() + 20)
    return quote


async def vaults(on: MockVenueSetup, quote: Quote) -> dict[str, int]:
    """What the vaults behind a quote hold, by mint."""
    [pool] = quote.route
    return {mint: await on.tokens(pool, mint) for mint in (quote.request.mint_in, quote.request.mint_out)}


async def balances(on: MockVenueSetup) -> dict[str, int]:
    """What the wallet holds, by mint; lamports are SOL."""
    held = {mint: await on.tokens(on.sealer.payer, mint) for mint in ALL}
    return held | {WSOL: held[WSOL] + await on.lamports(on.sealer.payer)}


def gained(after: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    return {mint: amount - before[mint] for mint, amount in after.items() if amount != before[mint]}


@each_venue
async def test_the_vaults_gain_exactly_what_the_wallet_loses(tmp_path: Path, venue_class: VenueClass) -> None:
    async with mock_venue_setup(tmp_path) as on:
        venue = on.venue(venue_class)
        for request in SWAPS:
            quote = await quoted(on, venue, request)
            signed = await on.seal(venue, quote)  # funds the wallet on first use
            before = await balances(on)
            vault_before = await vaults(on, quote)
            landed = await on.landed(signed)
            moved = {request.mint_in: -quote.amount_in, request.mint_out: quote.amount_out}
            assert landed.moved == moved
            assert landed.fee == quote.network_fee
            assert gained(await vaults(on, quote), vault_before) == {mint: -amount for mint, amount in moved.items()}
            moved[WSOL] = moved.get(WSOL, 0) - landed.fee
            assert gained(await balances(on), before) == moved


async def test_the_transaction_on_chain_is_two_transfers_signed_by_both(tmp_path: Path) -> None:
    async with mock_venue_setup(tmp_path) as on:
        venue = on.venue(MockRaydium)
        quote = await quoted(on, venue, SWAPS[0])
        signed = await on.seal(venue, quote)
        await on.landed(signed)
        options = {"commitment": "confirmed", "maxSupportedTransactionVersion": 0, "encoding": "json"}
        shown = await on.net.rpc("getTransaction", signed.signature, options)
        message = shown["transaction"]["message"]
        assert message["accountKeys"][:2] == [on.sealer.payer, quote.route[0]]
        _, steps = read_message(signed.payload[1 + 2 * 64 :])
        transfers = [one for one in steps if one.program == spl.TOKEN and one.data[:1] == b"\x0c"]
        amounts = [int.from_bytes(one.data[1:9], "little") for one in transfers]
        assert amounts == [quote.amount_in, quote.amount_out]
        payers = [one.accounts[3].address for one in transfers]
        assert payers == [on.sealer.payer, quote.route[0]]
        held = {one["mint"]: one["owner"] for one in shown["meta"]["postTokenBalances"] if one["owner"] in quote.route}
        assert held.keys() == {WSOL, USDC}, "both vaults"
        wrapped = Pubkey.from_string(associated(on.sealer.payer, WSOL))
        assert (await on.net.client.get_account_info(wrapped)).value is None, "SOL is wrapped only within"


async def test_the_price_follows_from_the_balances_of_the_vaults(tmp_path: Path) -> None:
    async with mock_venue_setup(tmp_path) as on:
        venue = on.venue(MockRaydium)
        for request in [
            SwapRequest(mint_in=WSOL, mint_out=USDC, amount=5_000 * SOL, mode=Mode.EXACT_IN, slippage_bps=50),
            *SWAPS[:4],
        ]:
            quote = await quoted(on, venue, request)
            held = await vaults(on, quote)
            pool = cpmm.CpmmPool(amm_config=CONFIG, vault_0_amount=held[WSOL], vault_1_amount=held[USDC])
            price = cpmm.quote_exact_in if request.mode is Mode.EXACT_IN else cpmm.quote_exact_out
            direction = TradeDirection.A_TO_B if request.mint_in == WSOL else TradeDirection.B_TO_A
            due = price(pool, request.amount, direction, ChainTime(0, 0))
            assert (quote.amount_in, quote.amount_out) == (due.amount_in, due.amount_out)
            await on.landed(await on.seal(venue, quote))


async def test_many_swaps_of_two_venues_at_once_share_the_wallets_wrapped_sol(tmp_path: Path) -> None:
    async with mock_venue_setup(tmp_path) as on:
        venues = [on.venue(kind) for kind in VENUES]
        first = [await quoted(on, venue, SWAPS[0]) for venue in venues]
        for venue, quote in zip(venues, first, strict=True):
            await on.seal(venue, quote)
        work = [(venue, request) for request in SWAPS[:4] * 2 for venue in venues]
        before = await balances(on)
        quotes = await asyncio.gather(*(quoted(on, venue, request) for venue, request in work))
        signed = await asyncio.gather(*(on.seal(venue, quote) for (venue, _), quote in zip(work, quotes, strict=True)))
        assert len({one.signature for one in signed}) == len(work), "equal swaps are transactions of their own"
        due = dict.fromkeys(ALL, 0)
        for (_, request), quote, one in zip(work, quotes, signed, strict=True):
            landed = await on.landed(one)
            fill = fill_of(landed, request)
            assert (fill.amount_in, fill.amount_out) == (quote.amount_in, quote.amount_out)
            due[request.mint_in] -= fill.amount_in
            due[request.mint_out] += fill.amount_out
            due[WSOL] -= fill.fee
        assert gained(await balances(on), before) == {mint: amount for mint, amount in due.items() if amount}


async def test_a_swap_that_others_pushed_past_its_bound_is_not_built(tmp_path: Path) -> None:
    async with mock_venue_setup(tmp_path) as on:
        venue = on.venue(MockRaydium)
        tight = [replace(request, slippage_bps=10) for request in SWAPS[:2]]
        quotes = [await quoted(on, venue, request) for request in tight]
        push = await quoted(
            on, venue, SwapRequest(mint_in=WSOL, mint_out=USDC, amount=500 * SOL, mode=Mode.EXACT_IN, slippage_bps=0)
        )
        await on.landed(await on.seal(venue, push))
        for quote in quotes:
            with pytest.raises(Slippage, match="past the order's bound"):
                await on.seal(venue, quote)


@each_venue
async def test_the_option_moves_the_price_against_the_order_within_the_bounds(
    tmp_path: Path, venue_class: VenueClass
) -> None:
    async with mock_venue_setup(tmp_path) as on:
        venue = on.venue(venue_class, slippage_ppm=4_000)
        worse = []
        for request in SWAPS[:4] * 3:
            quote = await quoted(on, venue, request)
            fill = fill_of(await on.landed(await on.seal(venue, quote)), request)
            assert quote.min_out <= fill.amount_out <= quote.amount_out
            assert quote.amount_in <= fill.amount_in <= quote.max_in
            worse.append((fill.amount_in, fill.amount_out) != (quote.amount_in, quote.amount_out))
        assert sum(worse) > len(worse) // 2


# ---- funding -------------------------------------------------------------------------------------------------------


@each_venue
async def test_vaults_begin_at_the_reference_price_as_deep_as_the_simulated_pool(
    tmp_path: Path, venue_class: VenueClass
) -> None:
    async with mock_venue_setup(tmp_path) as on:
        real = on.venue(venue_class)
        simulated = on.venue(venue_class, settlement="simulated", drift_ppm=0, offset_ppm=0)
        for request in SWAPS[:6]:
            there = await quoted(on, real, request)
            here = await quoted(on, simulated, request)
            for name in ("amount_in", "amount_out"):
                assert getattr(there, name) == pytest.approx(getattr(here, name), rel=1e-6, abs=1)


async def test_a_vault_is_funded_once_and_never_refilled(tmp_path: Path) -> None:
    async with mock_venue_setup(tmp_path) as on:
        venue = on.venue(MockRaydium)
        quote = await quoted(
            on, venue, SwapRequest(mint_in=WSOL, mint_out=USDC, amount=1_000 * SOL, mode=Mode.EXACT_IN, slippage_bps=50)
        )
        assert await vaults(on, quote) == {WSOL: 50_000 * SOL, USDC: 7_500_000 * DOLLAR}
        await on.landed(await on.seal(venue, quote))
        left = await vaults(on, quote)
        assert left == {WSOL: 51_000 * SOL, USDC: 7_500_000 * DOLLAR - quote.amount_out}
        again = on.venue(MockRaydium)
        await on.seal(again, await quoted(on, again, SWAPS[0]))
        assert await vaults(on, quote) == left


async def test_each_venue_seed_and_pair_has_vaults_of_its_own(tmp_path: Path) -> None:
    async with mock_venue_setup(tmp_path) as on:
        venues = [on.venue(MockRaydium), on.venue(MockMeteora), on.venue(MockRaydium, seed=2)]
        routes = [(await quoted(on, venue, request)).route for venue in venues for request in (SWAPS[0], SWAPS[4])]
        assert len(set(routes)) == len(routes)
        again = on.venue(MockRaydium)
        assert (await quoted(on, again, SWAPS[2])).route == routes[0], "the same in every process, and both ways"


async def test_a_wallet_with_something_of_a_token_is_given_no_more_of_it(tmp_path: Path) -> None:
    async with mock_venue_setup(tmp_path) as on:
        payer = on.sealer.payer
        venue = on.venue(MockRaydium)
        await on.chain.fund(payer, "", 9, 5 * SOL)
        await on.chain.fund(payer, USDC, 6, 7 * DOLLAR)
        on.clock.advance(1)
        await on.seal(venue, await quoted(on, venue, SWAPS[0]))
        assert await balances(on) == {WSOL: 5 * SOL, USDC: 7 * DOLLAR, PEPE.mint: 0}


@pytest.mark.parametrize(
    "request_",
    [
        SwapRequest(mint_in=WSOL, mint_out=USDC, amount=6 * SOL, mode=Mode.EXACT_IN, slippage_bps=50),
        SwapRequest(mint_in=USDC, mint_out=WSOL, amount=SOL, mode=Mode.EXACT_OUT, slippage_bps=50),
    ],
)
async def test_more_than_the_wallet_holds_is_not_built(tmp_path: Path, request_: SwapRequest) -> None:
    async with mock_venue_setup(tmp_path) as on:
        venue = on.venue(MockRaydium)
        await on.chain.fund(on.sealer.payer, "", 9, 5 * SOL)
        await on.chain.fund(on.sealer.payer, USDC, 6, 7 * DOLLAR)
        on.clock.advance(1)
        with pytest.raises(InsufficientFunds):
            await on.seal(venue, await quoted(on, venue, request_))


async def test_all_of_a_wallets_lamports_cannot_be_swapped_as_the_fee_would_be_missing(tmp_path: Path) -> None:
    async with mock_venue_setup(tmp_path) as on:
        venue = on.venue(MockRaydium)
        await on.chain.fund(on.sealer.payer, "", 9, 5 * SOL)
        on.clock.advance(1)
        with pytest.raises(InsufficientFunds):
            await on.seal(
                venue,
                await quoted(
                    on,
                    venue,
                    SwapRequest(mint_in=WSOL, mint_out=USDC, amount=5 * SOL, mode=Mode.EXACT_IN, slippage_bps=50),
                ),
            )


async def test_funding_that_a_fork_undid_is_done_again(tmp_path: Path) -> None:
    async with mock_venue_setup(tmp_path) as on:
        venue = on.venue(MockRaydium)
        on.clock.advance(1)
        await quoted(on, venue, SWAPS[0])
        await on.net.rpc("localnet_fork", 1)
        on.clock.advance(33 * 0.4)
        quote = await quoted(on, venue, SWAPS[0])
        await on.landed(await on.seal(venue, quote))


async def test_a_localnet_that_does_not_answer_is_a_timeout_at_the_deadline(tmp_path: Path) -> None:
    async with mock_venue_setup(tmp_path) as on:
        venue = on.venue(MockRaydium)
        await on.net.set_faults(answers=[{"answer": "hang", "methods": ["getMultipleAccounts"], "requests": 9}])
        with pytest.raises(Timeout):
            await venue.quote(SWAPS[0], on.clock.monotonic() + 0.2)


# ---- what the venue signs ------------------------------------------------------------------------------------------


async def built(on: MockVenueSetup, venue: Any) -> tuple[Quote, SwapInstructions]:
    quote = await quoted(on, venue, SWAPS[0])
    made = await venue.build(quote, on.sealer.payer, await on.chain.blockhash())
    assert isinstance(made, SwapInstructions)
    return quote, made


def message(on: MockVenueSetup, made: SwapInstructions, *steps: Instruction, payer: str | None = None) -> bytes:
    """As the engine compiles it: with a budget and a nonce."""
    steps = steps or made.instructions
    return compile_message(payer or on.sealer.payer, [compute_unit_limit(1), *steps, memo("n")], made.blockhash.hash)


async def test_the_venue_signs_its_own_swap_until_the_quote_expires(tmp_path: Path) -> None:
    async with mock_venue_setup(tmp_path) as on:
        venue = on.venue(MockRaydium)
        quote, made = await built(on, venue)
        assert made.signers == quote.route
        assert (await venue.cosign(message(on, made))).keys() == set(quote.route)
        on.clock.advance(1)
        later = replace(made, blockhash=await on.chain.blockhash())
        assert later.blockhash != made.blockhash
        assert (await venue.cosign(message(on, later))).keys() == set(quote.route)
        on.clock.advance(10)
        with pytest.raises(QuoteExpired):
            await venue.cosign(message(on, made))


async def test_the_venue_signs_no_other_message(tmp_path: Path) -> None:
    async with mock_venue_setup(tmp_path) as on:
        venue = on.venue(MockRaydium)
        payer = on.sealer.payer
        quote, made = await built(on, venue)
        steps = made.instructions
        [pool] = quote.route
        [paying, giving] = [n for n, one in enumerate(steps) if one.data[:1] == b"\x0c"]
        vault = associated(pool, USDC)
        mine = associated(payer, USDC)
        more = spl.transfer_checked(vault, USDC, mine, pool, quote.amount_out + 1, 6)
        foreign = {
            "more is received": [*steps[:giving], more, *steps[giving + 1 :]],
            "less is paid": [*steps[:paying], replace(steps[paying], data=b"\x0c" + bytes(9)), *steps[paying + 1 :]],
            "nothing is paid": [*steps[:paying], *steps[paying + 1 :]],
            "a transfer is added": [*steps, spl.transfer_checked(vault, USDC, mine, pool, 1, 6)],
            "the swap is there twice": [*steps, *steps],
            "a vault is closed": [spl.close_account(vault, payer, pool), *steps],
            "only a memo, which the authority signs": [replace(memo("x"), accounts=steps[giving].accounts[3:])],
            "only our own": [spl.transfer_lamports(payer, mine, 1)],
        }
        for changed in foreign.values():
            with pytest.raises(BadAnswer, match="not a swap that was built here"):
                await venue.cosign(message(on, made, *changed))
        other = Authority("another wallet").address
        with pytest.raises(BadAnswer):
            await venue.cosign(message(on, made, payer=other))
        for junk in (b"", b"\x80", bytes(40), message(on, made)[:-1], message(on, made)[1:]):
            with pytest.raises(BadAnswer):
                await venue.cosign(junk)
        with pytest.raises(BadAnswer):
            await on.venue(MockMeteora).cosign(message(on, made))
