"""Swaps over several pools on the real programs: one transaction, and each part realises its quote to the unit."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from random import Random

from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.swap import Landed, fill_of
from dexexec.domain.token import USDC, WSOL, Token
from dexexec.settlement.solana.transaction import TooLarge
from dexexec.venue import AnyVenue, NoOptions, Unsupported, VenueContext, VenueError
from dexexec.venues.ranking import net_amount
from dexexec.venues.routes.venue import Hops, RouteRules, Routes, Split
from dexexec_adapters.meteora.venue import Meteora
from dexexec_adapters.raydium.venue import Raydium
from dexexec_adapters.raydium_amm.venue import RaydiumAmm
from tests.programs import dumps, meteora_pools
from tests.programs.direct import START, Direct
from tests.programs.localnet import programs_localnet
from tests.programs.raydium_amm_pools import put_pool
from tests.programs.sizes import draw
from tests.programs.swap_runs import any_size
from tests.programs.tokens import key, token_account
from tests.support.service.process import say

pytestmark = dumps.needs("raydium", "raydium-amm", "meteora")

ROUNDS = 120
REQUESTS = 5
"""Per round."""
DEPTH = 10**12
TOLERANCE_BPS = 5


def market(direct: Direct, chance: Random) -> list[Token]:
    """Three tokens with pools of both venues between each two of them, at prices that differ by less than a percent."""
    tokens = [direct.mint(decimals=6) for _ in range(3)]
    worth = [Fraction(chance.randrange(1, 10**4), 100) for _ in tokens]
    for one, other in ((0, 1), (1, 2), (0, 2)):
        pair = (tokens[one], tokens[other])
        for _ in range(chance.choice([1, 2, 3])):
            value = Fraction(any_size(chance, DEPTH) + 10**6)
            off = Fraction(10**6 + chance.randint(-4_000, 4_000), 10**6)
            reserves = (int(value / worth[one]) + 1, int(value * off / worth[other]) + 1)
            if chance.random() < 0.5:
                put_pool(direct, pair, reserves, fee=(chance.choice([5, 25, 100]), 10_000))
            else:
                put_meteora(direct, pair, reserves, chance)
    return tokens


def put_meteora(direct: Direct, pair: tuple[Token, Token], reserves: tuple[int, int], chance: Random) -> None:
    mints = (pair[0].mint, pair[1].mint)
    address = key(direct.mint().mint)
    # Builds before cp-amm 0.2.0 have no compounding pools; they are tested alone.
    kind = chance.choice([one for one in meteora_pools.KINDS if one != "compounding"])
    account, held = meteora_pools.pool(kind, address, mints, reserves, START, chance)
    direct.put(address, str(account.owner), bytes(account.data))
    for mint, vault, amount in zip(mints, meteora_pools.vaults(address, mints), held, strict=True):
        direct.put(vault, str(token_account(mint, meteora_pools.AUTHORITY).owner), b"")
        direct.hold(vault, mint, meteora_pools.AUTHORITY, amount)


def combining(venues: list[AnyVenue], hops: tuple[str, ...]) -> list[Routes]:
    rules = RouteRules(hop_mints=hops, hop_tolerance_bps=TOLERANCE_BPS, leg_lamports=0)
    one = venues[0].context
    context = VenueContext(one.clock, one.tokens, one.chain, NoOptions(), "localnet")
    return [Split(context, venues, rules), Hops(context, venues, rules)]


async def best_single(direct: Direct, venues: list[AnyVenue], request: SwapRequest) -> Quote | None:
    quotes = []
    for venue in venues:
        try:
            quotes.append(await direct.quote(venue, request))
        except VenueError:
            continue
    exact_in = request.mode is Mode.EXACT_IN
    return max(quotes, key=net_amount if exact_in else lambda quote: -net_amount(quote)) if quotes else None


async def test_every_part_of_every_route_realises_its_quote_and_no_single_pool_nets_more(seed: int, runs: int) -> None:
    chance, counts, gains = Random(seed), Counter[str](), []
    for _ in range(ROUNDS * runs):
        direct = Direct(dumps.programs("raydium-amm", "meteora"))
        tokens = market(direct, chance)
        venues = [direct.venue(RaydiumAmm), direct.venue(Meteora)]
        routes = combining(venues, tuple(token.mint for token in tokens))
        for _ in range(REQUESTS):
            paid, got = chance.sample(tokens, 2)
            mode = chance.choice(list(Mode))
            amount = any_size(chance, DEPTH // 10) + 10**4
            request = SwapRequest(mint_in=paid.mint, mint_out=got.mint, amount=amount, mode=mode, slippage_bps=50)
            single = await best_single(direct, venues, request)
            venue = chance.choice(routes)
            try:
                quote = await direct.quote(venue, request)
            except Unsupported:
                counts["one pool is best"] += 1
                continue
            kind = "hop" if quote.via else f"split over {len(quote.legs)}"
            better = single is None or (
                net_amount(quote) > net_amount(single)
                if mode is Mode.EXACT_IN
                else net_amount(quote) < net_amount(single)
            )
            assert better or quote.via, (request, quote, single)
            if better and single is not None:
                gains.append(float(10_000 * abs(Fraction(net_amount(quote), net_amount(single)) - 1)))
            hop = next(iter(quote.via), None)
            before = direct.balance(direct.account_of(hop)) if hop else 0
            moved = await direct.realise(venue, quote)
            assert moved == (quote.amount_in, quote.amount_out), (request, quote.legs, moved)
            if hop:
                left = quote.legs[0].amount_out - quote.legs[1].amount_in
                assert direct.balance(direct.account_of(hop)) - before == left >= 0
            counts[f"{mode}, {kind}"] += 1
        for one in venues:
            await one.aclose()
    gains.sort()
    middle = gains[len(gains) // 2]
    say(f"routes, seed {seed}: {dict(sorted(counts.items()))}; {len(gains)} net more, the median by {middle:.1f} bps")
    assert sum(counts.values()) - counts["one pool is best"] > ROUNDS


async def test_the_guard_lets_a_route_through_and_nothing_but_its_rest_stays(
    tmp_path: Path, seed: int, runs: int
) -> None:
    """Through SOL as well: it is bought, wrapped, sold on, and what is left is unwrapped."""
    chance, counts = Random(seed), Counter[str]()
    async with programs_localnet(tmp_path / "ledger", seed) as on:
        venues = [on.venue(Raydium), on.venue(Meteora)]
        routes = combining(venues, (WSOL, USDC))
        for _ in range(40 * runs):
            request = draw(chance.choice(on.market.pools), chance)
            # Large, so that more than one pool is worth it.
            request = replace(request, amount=request.amount * 10)
            venue = chance.choice(routes)
            try:
                quote = await venue.quote(request, on.clock.monotonic() + 10)
            except Unsupported:
                continue
            held = on.held()
            try:
                status = await on.settle(await on.seal(venue, quote))
            except TooLarge:  # the order takes the next best quote then; a message of version 1 has more room
                counts["too large"] += 1
                continue
            assert isinstance(status, Landed), (quote, status)
            fill = fill_of(status, request)
            assert (fill.amount_in, fill.amount_out) == (quote.amount_in, quote.amount_out), quote
            rest = on.held().since(held)
            rest[WSOL] = rest.get(WSOL, 0) + status.fee
            moved = {request.mint_in: -quote.amount_in, request.mint_out: quote.amount_out}
            for hop in quote.via:
                moved[hop] = quote.legs[0].amount_out - quote.legs[1].amount_in
            assert {mint: amount for mint, amount in rest.items() if amount} == moved, quote
            counts[f"hop through {'SOL' if WSOL in quote.via else 'USDC'}" if quote.via else "split"] += 1
            on.skip(1)
        say(f"sealed routes, seed {seed}: {dict(sorted(counts.items()))}")
        assert {"split", "hop through SOL", "hop through USDC"} <= counts.keys(), counts
        for one in venues:
            await one.aclose()
