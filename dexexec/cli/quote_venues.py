"""Gets a quote from every enabled venue for `python -m dexexec quote SELL BUY AMOUNT`.

The router quotes exactly as for an order, but nothing is built, signed or stored. Neither Postgres, Redis nor a key is
needed. The exit code is 0 if a venue can fill the swap, 1 if none can, and 2 for invalid arguments.
"""

import math
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TextIO

from dexexec.bootstrap.networks import Networks
from dexexec.bootstrap.quoting import make_router, open_quote_networks
from dexexec.bootstrap.routes import with_routes
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
from dexexec.settlement.solana.funds import abbreviate
from dexexec.settlement.solana.mint import read_decimals
from dexexec.venue import SolanaChain, Timeout, VenueError
from dexexec.venues import registry
from dexexec.venues.router import Router, Routing


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The arguments. `sell` and `buy` are mints or known symbols. `amount` is a decimal amount of the sold token, with
    `exact_out` of the bought one. With `slippage_bps` None the default of orders applies."""

    sell: str
    buy: str
    amount: str
    exact_out: bool = False
    slippage_bps: int | None = None


async def run(
    question: Question,
    settings: Settings,
    environ: Mapping[str, str],
    observer: Observer,
    out: TextIO,
    *,
    as_json: bool = False,
    clock: Clock | None = None,
) -> int:
    """Get the quotes and print them; the exit code. `environ` holds the adapters' settings. Raises `StartupError` when
    a venue cannot be opened, or when a token or the amount is invalid."""
    clock = clock or SystemClock()
    classes = registry.load(settings.adapters)
    needed = registry.networks(classes, environ)
    async with AsyncExitStack() as stack:
        networks = await stack.enter_async_context(open_quote_networks(settings, needed, clock, observer))
        known = settings.token_list()
        sell, buy = [
            await _token(text, place, known, networks)
            for text, place in ((question.sell, "SELL"), (question.buy, "BUY"))
        ]
        request = _request(question, sell, buy, settings)
        tokens = Tokens((*known, *(token for token in (sell, buy) if known.get(token.mint) is None)))
        venues = registry.create(classes, environ, clock, tokens, networks.chains, networks.clusters)
        for venue in venues:
            stack.push_async_callback(venue.aclose)
        await prepare_venues(venues)
        venues = with_routes(venues, settings, clock)
        router = make_router(venues, settings, clock, observer)
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
    # A quote beyond the price impact limit counts as none, as it does for an order.
    return 0 if routing.ranking else 1


async def _ask(router: Router, request: SwapRequest, rounds: int) -> Routing:
    """Get the quotes, and repeat that up to `rounds` times while a venue times out."""
    routing = await router.route(request, math.inf)
    # The first request may have to discover a venue's pools; the next one finds them cached.
    for _ in range(rounds - 1):
        if all(answer.code != Timeout.code for answer in routing.answers):
            break
        routing = await router.route(request, math.inf)
    return routing


def _request(question: Question, sell: Token, buy: Token, settings: Settings) -> SwapRequest:
    if sell.mint == buy.mint:
        raise StartupError(f"SELL and BUY are both {sell.symbol}: name two tokens")
    mode = Mode.EXACT_OUT if question.exact_out else Mode.EXACT_IN
    fixed = buy if question.exact_out else sell
    try:
        _, amount = read_amount(question.amount, fixed)
    except AmountError as error:
        raise StartupError(f"AMOUNT {error.problem}: it must be {error.expected}") from None
    slippage = settings.slippage_bps if question.slippage_bps is None else question.slippage_bps
    return SwapRequest(mint_in=sell.mint, mint_out=buy.mint, amount=amount, mode=mode, slippage_bps=slippage)


async def _token(text: str, place: str, known: Tokens, networks: Networks) -> Token:
    """A known token, by mint or symbol, or else any mint that exists on a venue's chain."""
    by_mint = known.get(text)
    matches = [by_mint] if by_mint else [token for token in known if token.symbol.casefold() == text.casefold()]
    if len(matches) > 1:
        mints = ", ".join(token.mint for token in matches)
        raise StartupError(f"{place} {text} is the symbol of several tokens: use the mint of one instead ({mints})")
    if matches:
        return matches[0]
    if not looks_like_mint(text):
        symbols = ", ".join(token.symbol for token in known)
        raise StartupError(f"{place} {text!r} is neither a known token ({symbols}) nor a mint's address")
    return await _read_token(text, place, networks)


async def _read_token(mint: str, place: str, networks: Networks) -> Token:
    searched: list[str] = []
    for network, chain in networks.chains.items():
        if not isinstance(chain, SolanaChain):
            continue
        searched.append(networks.clusters.get(network) or network)
        try:
            [account] = (await chain.accounts([mint])).found
        except VenueError as error:
            raise StartupError(f"{place} {mint} cannot be looked up: {error}") from error
        decimals = read_decimals(account)
        if decimals is not None:
            return Token(mint, abbreviate(mint), decimals)
    if searched:
        raise StartupError(f"{place} {mint} is not a mint on {' or '.join(searched)}")
    raise StartupError(
        f"{place} {mint} is not a known token, and no enabled venue has a chain to read its decimals from: add it with"
        " DEXEXEC_TOKENS"
    )
