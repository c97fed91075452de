"""Launched pools and snipers for tests: SOL for a token that is not configured."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from dexexec.domain import base58
from dexexec.domain.launch import NewPool, PoolToken
from dexexec.domain.order import FOREVER_MS, NewOrder, Side
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.sniper_conditions import SniperConditions
from dexexec.domain.terms import OrderType, Terms
from dexexec.domain.token import WSOL
from dexexec.store import RestingOrder
from tests.support.parts import new_order
from tests.support.scripted import quote_of

MINT = base58.encode(bytes([77]) * 32)
"""A token with five decimals."""
DECIMALS = 5
PAIR = (WSOL, MINT)
AMOUNT = 10_000_000
"""0.01 SOL."""
NOW_MS = 1_700_000_000_000
POOL = "pool"


def launched(
    address: str = POOL,
    *,
    venue: str = "a",
    reserve: int = 100 * 10**9,
    age_ms: int = 1_000,
    slot: int = 1,
    now_ms: int = NOW_MS,
    **rules: Any,
) -> NewPool:
    """A pool that holds `reserve` lamports, and whose token has `rules`."""
    spent = PoolToken(mint=WSOL, decimals=9, reserve=reserve)
    wanted = PoolToken(mint=MINT, decimals=DECIMALS, reserve=10**15)
    # `replace` checks the names of the rules.
    return NewPool(
        venue=venue,
        address=address,
        tokens=(spent, replace(wanted, **rules)),
        slot=slot,
        launched_at_ms=now_ms - age_ms,
    )


def sniper(mint: str = MINT, *, deadline_ms: int = FOREVER_MS, **conditions: Any) -> NewOrder:
    """Spends 0.01 SOL for `mint`."""
    wanted = replace(SniperConditions(), **conditions)
    return replace(
        new_order(),
        side=Side.BUY,
        input_mint=WSOL,
        output_mint=mint,
        type=OrderType.SNIPER,
        terms=Terms(conditions=wanted),
        deadline_ms=deadline_ms,
        max_price_impact_bps=wanted.impact_bps(1_000),
    )


def resting_sniper(number: int = 1, *, version: int = 2, quiet_ms: float = 0, **conditions: Any) -> RestingOrder:
    """The same as the launch watch reads it."""
    order = sniper(**conditions)
    assert order.terms is not None
    return RestingOrder(
        id=UUID(int=number),
        version=version,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        side=order.side,
        mode=order.mode,
        input_mint=order.input_mint,
        output_mint=order.output_mint,
        amount_base=order.amount_base,
        slippage_bps=order.slippage_bps,
        type=order.type,
        terms=order.terms,
        quiet_ms=quiet_ms,
    )


def quote_in(
    pool: str = POOL, *, venue: str = "a", amount_out: int = 1_000_000, impact_ppm: int = 0, route: Sequence[str] = ()
) -> Quote:
    """What a venue gives for the sniper's amount in a pool: by default, ten tokens for 0.01 SOL."""
    request = SwapRequest(mint_in=WSOL, mint_out=MINT, amount=AMOUNT, mode=Mode.EXACT_IN, slippage_bps=0)
    quote = quote_of(venue, request, amount_out, price_impact_ppm=impact_ppm)
    return replace(quote, route=tuple(route) or (pool,))


PRICE = Decimal("0.001")
"""SOL per token of `quote_in`."""
