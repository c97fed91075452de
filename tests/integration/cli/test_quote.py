"""`python -m dexexec quote`: every enabled venue side by side, with no server and no key, and its exit code."""

import asyncio
import errno
import io
import json
import os
import pty
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dexexec.cli.quote_venues import Question, run
from dexexec.clock import SystemClock
from dexexec.config.settings import Settings
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.token import USDC, WSOL
from dexexec.errors import StartupError
from dexexec.observe.observer import Observer, make_logger
from dexexec.settlement.solana.rpc import Localnet
from dexexec.venue import NoRoute
from dexexec_adapters.mock.raydium import MockRaydium
from tests.support.localnet.in_process import InProcessLocalnet, run_localnet
from tests.support.localnet.rpc_chains import RecordingListener

BONK = "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263"
SELL_SOL = Question(sell="SOL", buy="USDC", amount="0.01")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
MOCKS = ("mock-raydium", "mock-meteora")
STILL = {"DEXEXEC_MOCK_LATENCY_MS": "0", "DEXEXEC_MOCK_DRIFT_PPM": "0"}


class Refusing(MockRaydium):
    """A venue that has nothing."""

    name = "refusing"

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        raise NoRoute("not today")


class Slow(MockRaydium):
    """A venue that is too slow, once."""

    name = "slow"
    slow = True

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        if self.slow:
            self.slow = False
            await asyncio.Event().wait()
        return await super().quote(request, deadline)


class Aggregator(MockRaydium):
    """A venue with the name of the aggregator, and a price of its own."""

    name = "jupiter"


async def run_quote(
    question: Question, environ: dict[str, str] | None = None, *, as_json: bool = False, **settings: Any
) -> tuple[int, str]:
    """The exit code and what was written, in a pipe."""
    out, observer = io.StringIO(), Observer(make_logger("critical"))
    given = Settings(_env_file=None, **settings)
    code = await run(question, given, STILL | (environ or {}), observer, out, as_json=as_json)
    return code, out.getvalue()


async def quotes(question: Question, environ: dict[str, str] | None = None, **settings: Any) -> dict[str, Any]:
    code, text = await run_quote(question, environ, as_json=True, **settings)
    found: dict[str, Any] = json.loads(text)
    assert code == (0 if found["best"] else 1)
    return found


@asynccontextmanager
async def localnet(folder: Path) -> AsyncIterator[tuple[InProcessLocalnet, dict[str, str]]]:
    """A localnet, and the environment of mocks that settle on it."""
    async with run_localnet(folder) as net:
        yield net, {"DEXEXEC_MOCK_SETTLEMENT": "localnet"}


async def test_every_venue_is_shown_and_the_best_one_marked() -> None:
    found = await quotes(SELL_SOL)
    best, other = found["quotes"]
    assert {best["venue"], other["venue"]} == set(MOCKS)
    assert (best["venue"], best["selected"], other["selected"]) == (found["best"], True, False)
    assert int(best["amountOut"]) > int(other["amountOut"]) > int(other["minOut"]) > 0
    assert (found["amount"], found["mode"], found["slippageBps"]) == ("10000000", Mode.EXACT_IN, 50)
    assert best["amountIn"] == best["maxIn"] == "10000000"
    assert best.keys() >= {"price", "fee", "feeMint", "networkFee", "priceImpactBps", "route", "contextSlot"}
    assert 0 < best["expiresInMs"] <= 10_000
    assert best["settlesOn"] == "simulated"


async def test_an_exact_output_is_counted_in_what_is_bought() -> None:
    found = await quotes(Question(sell="sol", buy="usdc", amount="1.5", exact_out=True, slippage_bps=100))
    assert (found["amount"], found["mode"], found["slippageBps"]) == ("1500000", Mode.EXACT_OUT, 100)
    best, other = found["quotes"]
    assert best["amountOut"] == best["minOut"] == "1500000"
    assert int(best["maxIn"]) == -(-int(best["amountIn"]) * 10_100 // 10_000)
    assert int(best["amountIn"]) < int(other["amountIn"])


async def test_in_a_pipe_there_is_a_complete_line_for_each_venue() -> None:
    code, text = await run_quote(SELL_SOL)
    headline, head, *lines = text.splitlines()
    assert (code, headline) == (0, "Sell 0.01 SOL for USDC, slippage at most 0.5 %")
    assert head.split()[:4] == ["VENUE", "BEST", "RECEIVES", "AT"]
    assert {line.split()[0] for line in lines} == set(MOCKS)
    assert [line.split()[1] for line in lines] == ["yes", "-"]
    assert all(" USDC " in line and " USDC/SOL " in line and "0.000005 SOL" in line for line in lines)


async def test_a_refusal_is_listed_beside_the_quotes_with_its_reason() -> None:
    environ = {"DEXEXEC_MOCK_FAILURE_RATE": "1"}
    code, text = await run_quote(SELL_SOL, environ)
    assert code == 1
    assert all(f"unreachable: {name} cannot be reached" in text for name in MOCKS)
    assert "No venue can fill this swap." in text
    found = await quotes(SELL_SOL, environ)
    assert [one["reason"] for one in found["quotes"]] == ["unreachable"] * 2
    mixed = await quotes(SELL_SOL, adapters="mock-raydium,tests.integration.cli.test_quote:Refusing")
    assert [(one["venue"], one["selected"]) for one in mixed["quotes"]] == [("mock-raydium", True), ("refusing", False)]
    assert mixed["quotes"][1]["detail"] == "not today"


async def test_the_best_of_the_others_is_compared_with_the_aggregator() -> None:
    enabled = "mock-raydium,mock-meteora,tests.integration.cli.test_quote:Aggregator"
    found = await quotes(SELL_SOL, adapters=enabled)
    others = {one["venue"]: int(one["amountOut"]) for one in found["quotes"]}
    theirs = others.pop("jupiter")
    best = max(others, key=lambda name: others[name])
    beside = found["besideJupiter"]
    assert beside["venue"] == best
    # Both pay the same network fee, which is below a hundredth of a bps of the difference here.
    assert abs(float(beside["bps"]) - (others[best] - theirs) / theirs * 10_000) < 0.05
    _, text = await run_quote(SELL_SOL, adapters=enabled)
    assert f"The best of the other venues, {best}, nets" in text
    assert "besideJupiter" not in await quotes(SELL_SOL)


async def test_what_would_move_the_price_too_far_is_shown_and_not_taken() -> None:
    """A billion SOL, for which the mocks' pools have 50,000."""
    found = await quotes(Question(sell="SOL", buy="USDC", amount="1000000000"))
    [answer] = [quote for quote in found["quotes"] if quote["venue"] == "mock-raydium"]
    assert (found["best"], answer["reason"], answer["selected"]) == (None, "price-impact", False)
    assert answer["priceImpactBps"] == "9999.5"
    assert answer["detail"] == "the swap would move the price by 99.995 %, and 10 % is allowed"
    unlimited = await quotes(Question(sell="SOL", buy="USDC", amount="1000000000"), max_price_impact_bps=10_000)
    assert unlimited["best"] == "mock-raydium"
    assert (
        "price-impact: the swap would move"
        in (await run_quote(Question(sell="SOL", buy="USDC", amount="1000000000")))[1]
    )


async def test_a_venue_that_is_slow_once_is_used_again() -> None:
    found = await quotes(SELL_SOL, adapters="tests.integration.cli.test_quote:Slow", quote_timeout_ms=20)
    assert found["best"] == "slow"
    never = await quotes(
        SELL_SOL, adapters="tests.integration.cli.test_quote:Slow", quote_timeout_ms=20, max_attempts=1
    )
    assert [one["reason"] for one in never["quotes"]] == ["timeout"]


@pytest.mark.parametrize(
    ("question", "words"),
    [
        (
            Question(sell="SOL", buy="BONK", amount="1"),
            "BUY 'BONK' is neither a known token (SOL, USDC) nor a mint's address",
        ),
        (
            Question(sell=BONK, buy="SOL", amount="1"),
            f"SELL {BONK} is not a known token, and no enabled venue has a chain",
        ),
        (Question(sell="SOL", buy=WSOL, amount="1"), "SELL and BUY are both SOL"),
        (Question(sell="SOL", buy="USDC", amount="-1"), "AMOUNT is negative"),
        (Question(sell="SOL", buy="USDC", amount="0.0000000001"), "AMOUNT has more decimals than SOL"),
        (Question(sell="SOL", buy="USDC", amount="0.0000001", exact_out=True), "AMOUNT has more decimals than USDC"),
    ],
)
async def test_an_invalid_argument_is_an_error_with_the_expected_value(question: Question, words: str) -> None:
    with pytest.raises(StartupError, match=re.escape(words)):
        await run_quote(question)


async def test_decimals_of_a_mint_that_is_not_configured_are_read_from_the_chain(tmp_path: Path) -> None:
    async with localnet(tmp_path) as (net, environ):
        chain = Localnet([net.url], SystemClock(), RecordingListener())
        await chain.fund(str((await net.funded()).pubkey()), BONK, 5, 1)
        await chain.aclose()
        await net.advance(2)
        found = await quotes(
            Question(sell=BONK, buy="SOL", amount="1.00001"), environ, localnet_url=net.url, data_dir=tmp_path
        )
        assert (found["sellDecimals"], found["amount"]) == (5, "100001")
        assert {one["settlesOn"] for one in found["quotes"]} == {"localnet"}
        _, text = await run_quote(
            Question(sell="SOL", buy=BONK, amount="1"), environ, localnet_url=net.url, data_dir=tmp_path
        )
        assert f"DEXEXEC_TOKENS={BONK}:SYMBOL:5" in text
        with pytest.raises(StartupError, match=rf"BUY {USDC[:-1]}w is not a mint on localnet"):
            await run_quote(
                Question(sell="SOL", buy=f"{USDC[:-1]}w", amount="1"), environ, localnet_url=net.url, data_dir=tmp_path
            )
    assert not (tmp_path / "localnet-wallet.json").exists()


async def test_a_missing_localnet_is_an_error_with_the_way_to_start_one() -> None:
    with pytest.raises(StartupError, match="python -m dexexec localnet"):
        await run_quote(SELL_SOL, {"DEXEXEC_MOCK_SETTLEMENT": "localnet"}, localnet_url="http://127.0.0.1:9")


def shown_until_hang_up(screen: io.FileIO) -> str:
    """All that a terminal whose writer has closed it shows: it comes in pieces, and ends in `EIO`."""
    shown = bytearray()
    while True:
        try:
            shown += os.read(screen.fileno(), 65_536)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return shown.decode()


@pytest.mark.parametrize(("width", "beside"), [(50, False), (80, True), (160, True)])
async def test_on_a_terminal_venues_are_shown_side_by_side_as_far_as_they_fit(
    width: int, beside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    screen_end, terminal_end = pty.openpty()
    with os.fdopen(screen_end, "rb", buffering=0) as screen:
        with os.fdopen(terminal_end, "w") as terminal:
            observer = Observer(make_logger("critical"))
            assert await run(SELL_SOL, Settings(_env_file=None), STILL, observer, terminal) == 0
        text = ESCAPES.sub("", shown_until_hang_up(screen))
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert any(all(name in line for name in MOCKS) for line in lines) is beside
    assert text.count("best") == 1
