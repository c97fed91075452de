"""Venues of an API process: opened by the first request for a quote, without a key, and closed at the end."""

import asyncio
import math

import pytest
from structlog.testing import CapturingLogger

from dexexec.bootstrap.quoting import OwnQuoting
from dexexec.clock import SystemClock
from dexexec.config.settings import Settings
from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.token import USDC, WSOL
from dexexec.errors import VenuesUnavailableError
from dexexec.observe.observer import Observer

REQUEST = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=10**9, mode=Mode.EXACT_IN, slippage_bps=50)


def quoting(**settings: object) -> OwnQuoting:
    return OwnQuoting(Settings(_env_file=None, **settings), SystemClock(), Observer(CapturingLogger()))  # type: ignore[arg-type]


async def test_the_first_requests_open_the_venues_once_and_get_a_quote_of_each() -> None:
    own = quoting(adapters="mock-raydium,mock-meteora")
    try:
        first, second = await asyncio.gather(own.route(REQUEST, math.inf), own.route(REQUEST, math.inf))
        for routing in (first, second):
            assert {quote.venue for quote in routing.ranking} == {"mock-raydium", "mock-meteora"}
        assert [report.figures.answers for report in await own.report()] == [2, 2]
    finally:
        await own.aclose()


async def test_venues_that_cannot_be_opened_are_a_refusal_that_names_the_setting_and_is_tried_again() -> None:
    own = quoting(adapters="raydium")
    try:
        for _ in range(2):
            with pytest.raises(VenuesUnavailableError, match="SOLANA_RPC_URL"):
                await own.report()
    finally:
        await own.aclose()
