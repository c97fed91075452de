"""`python -m dexexec quote SELL BUY AMOUNT`: what every enabled venue would give now, side by side.

Venues are asked as an order would ask them, through the router; nothing is built, signed or stored. No Postgres, no
Redis and no key are needed. The exit code is 0 if one venue can do it, 1 if none can, 2 for a question that is none.
"""

import math
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TextIO

from dexexec.bootstrap.background import running
from dexexec.bootstrap.localnet import usual_url
from dexexec.bootstrap.networks import Networks, Purpose, open_networks
from dexexec.bootstrap.venues import prepare_venues
from dexexec.cli.quote_table import Quotes, quotes_json, write_quotes
from dexexec.clock import Clock, SystemClock
from dexexec.config.settings import Settings
from dexexec.domain.amount import AmountError, read_amount
from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.token import Token, Tokens, looks_like_mint
from dexexec.errors import StartupError
from dexexec.execution.quote_acceptance import PPM_PER_BPS, within_impact
from dexexec.observe.observer import Observer
from dexexec.settlement.simulated.chain import MemoryLedger
from dexexec.settlement.solana.funds import short
from dexexec.settlement.solana.mint import read_decimals
from dexexec.venue import SolanaChain, Timeout, VenueError
from dexexec.venues import registry
from dexexec.venues.router import Router, Routing


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The command line. `sell` and `buy` are mints or known symbols; `amount` is a decimal of what is sold, with
    `exact_out` of what is bought. `slippage_bps` None: as of orders that name none."""

    sell: str
    buy: str
    amount: str
    exact_out: bool = False
    slippage_bps: int | None = None


async def run(
    asked: Question,
    settings: Settings,
    environ: Mapping[str, str],
    observer: Observer,
    out: TextIO,
    *,
    as_json: bool = False,
    clock: Clock | None = None,
) -> int:
    """Ask and show; the exit code. `environ` holds the adapters' settings. Raises `StartupError` when a venue cannot
    be opened, or the question names no token or no amount."""
    clock = clock or SystemClock()
    classes = registry.load(settings.adapters)
    needed = registry.networks(classes, environ)
    async with AsyncExitStack() as stack:
        networks = await stack.enter_async_context(
            open_networks(
                settings,
                needed,
                ledger=MemoryLedger(clock),
                localnet_url=settings.localnet_url or usual_url(),
                clock=clock,
                observer=observer,
                purpose=Purpose.QUOTE,
            )
        )
        await stack.enter_async_context(running(networks.background))
        known = settings.token_list()
        sell, buy = [
            await _token(text, place, known, networks) for text, place in ((asked.sell, "SELL"), (asked.buy, "BUY"))
        ]
        request = _request(asked, sell, buy, settings)
        tokens = Tokens((*known, *(token for token in (sell, buy) if known.get(token.mint) is None)))
        venues = registry.create(classes, environ, clock, tokens, networks.chains, networks.clusters)
        for venue in venues:
            stack.push_async_callback(venue.aclose)
        await prepare_venues(venues)
        router = Router(
            {venue.name: venue for venue in venues},
            clock,
            observer,
            timeout_ms=settings.quote_timeout_ms,
            breaker_failures=settings.breaker_failures,
            breaker_seconds=settings.breaker_seconds,
        )
        routing = await _ask(router, request, settings.max_attempts)
        routing = within_impact(routing, settings.max_price_impact_bps * PPM_PER_BPS)
        places = {venue.name: venue.capabilities.network for venue in venues}
        quotes = Quotes(
            request=request,
            sell=sell,
            buy=buy,
            tokens=tokens,
            routing=routing,
            places={name: networks.clusters.get(place) or place for name, place in places.items()},
            now_ms=clock.unix_ms(),
            unnamed=tuple(token for token in (sell, buy) if known.get(token.mint) is None),
        )
    if as_json:
        out.write(quotes_json(quotes) + "\n")
    else:
        write_quotes(quotes, out)
    return 0 if routing.ranking else 1


async def _ask(router: Router, request: SwapRequest, rounds: int) -> Routing:
    """As often as an order is tried, while a venue was too slow: the first question may have to look for pools, and the
    next one finds them."""
    routing = await router.route(request, math.inf)
    for _ in range(rounds - 1):
        if all(answer.code != Timeout.code for answer in routing.answers):
            break
        routing = await router.route(request, math.inf)
    return routing


def _request(asked: Question, sell: Token, buy: Token, settings: Settings) -> SwapRequest:
    if sell.mint == buy.mint:
        raise StartupError(f"SELL and BUY are both {sell.symbol}: name two tokens")
    mode = Mode.EXACT_OUT if asked.exact_out else Mode.EXACT_IN
    counted = buy if asked.exact_out else sell
    try:
        _, amount = read_amount(asked.amount, counted)
    except AmountError as error:
        raise StartupError(f"AMOUNT {error.problem}: it must be {error.expected}") from None
    slippage = settings.slippage_bps if asked.slippage_bps is None else asked.slippage_bps
    return SwapRequest(mint_in=sell.mint, mint_out=buy.mint, amount=amount, mode=mode, slippage_bps=slippage)


async def _token(text: str, place: str, known: Tokens, networks: Networks) -> Token:
    """A known token by mint or symbol, or any mint that a venue's chain has."""
    named = known.get(text)
    found = [named] if named else [token for token in known if token.symbol.casefold() == text.casefold()]
    if len(found) > 1:
        mints = ", ".join(token.mint for token in found)
        raise StartupError(f"{place} {text} is the symbol of several tokens: give one's mint ({mints})")
    if found:
        return found[0]
    if not looks_like_mint(text):
        symbols = ", ".join(token.symbol for token in known)
        raise StartupError(f"{place} {text!r} is neither a known token ({symbols}) nor a mint's address")
    return await _read_token(text, place, networks)


async def _read_token(mint: str, place: str, networks: Networks) -> Token:
    looked: list[str] = []
    for network, chain in networks.chains.items():
        if not isinstance(chain, SolanaChain):
            continue
        looked.append(networks.clusters.get(network) or network)
        try:
            [account] = (await chain.accounts([mint])).found
        except VenueError as error:
            raise StartupError(f"{place} {mint} cannot be looked up: {error}") from error
        decimals = read_decimals(account)
        if decimals is not None:
            return Token(mint, short(mint), decimals)
    if looked:
        raise StartupError(f"{place} {mint} is not a mint on {' or '.join(looked)}")
    raise StartupError(
        f"{place} {mint} is not a known token, and no enabled venue has a chain to read its decimals from: add it with"
        " DEXEXEC_TOKENS"
    )
