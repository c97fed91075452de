"""The venue `jupiter` over HTTP: what it requests, and what it makes of every kind of answer."""

import asyncio
import logging
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dexexec.clock import SystemClock
from dexexec.domain import base58
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.solana import Account, AccountMeta, SwapInstructions
from dexexec.domain.swap import Blockhash, ProgramFailure
from dexexec.domain.token import USDC, WSOL
from dexexec.settlement.guard_errors import GuardError, Rule
from dexexec.settlement.solana.guard.message_rules import GuardRules
from dexexec.settlement.solana.guard.pinned_programs import Pins
from dexexec.settlement.solana.wallet import Wallet
from dexexec.venue import (
    BadAnswer,
    NoRoute,
    QuoteExpired,
    RateLimited,
    Slippage,
    Timeout,
    Unreachable,
    Unsigned,
    Unsupported,
    VenueError,
)
from dexexec_adapters.jupiter.route import ARGUMENTS, Swap, bounded
from dexexec_adapters.solana.keys import token_account
from tests.support.attempts import an_attempt
from tests.support.jupiter_routes import PAYER, PLAIN, POOL, route
from tests.support.jupiter_server import PROGRAM
from tests.support.jupiter_venues import KEY, JupiterSetup, jupiter
from tests.support.localnet.sealing_setup import sealing_setup
from tests.support.raydium_accounts import address as pool_address
from tests.support.sealers import solana_sealer
from tests.support.swap_transactions import BLOCKHASH, address

SELL = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=10**6, mode=Mode.EXACT_IN, slippage_bps=50)


async def quoted(on: JupiterSetup, request: SwapRequest = SELL) -> Quote:
    return await on.venue.quote(request, on.clock.monotonic() + 5)


async def built(on: JupiterSetup, quote: Quote, blockhash: Blockhash = BLOCKHASH) -> SwapInstructions:
    found: Unsigned = await on.venue.build(quote, PAYER, blockhash)
    assert isinstance(found, SwapInstructions)
    return found


async def test_a_quote_becomes_the_instructions_of_its_route() -> None:
    table = address("table")
    async with jupiter(tables=[table]) as on:
        quote = await quoted(on)
        assert (quote.amount_in, quote.max_in, quote.min_out) == (10**6, 10**6, quote.amount_out * 9_950 // 10_000)
        assert quote.route == (pool_address(1),)
        swap = await built(on, replace(quote, min_out=quote.amount_out - 3))
        assert swap.lookup_tables == (table,)
        [step] = [one for one in swap.instructions if one.program == PROGRAM]
        assert ARGUMENTS.unpack(step.data[-ARGUMENTS.size :]) == (10**6, quote.amount_out - 3, 0, 0)
        first, second = on.server.received
        assert first.content["swapMode"] == "ExactIn"
        assert (first.content["slippageBps"], first.content["maxAccounts"]) == ("50", "48")
        assert second.content["quoteResponse"]["outAmount"] == str(quote.amount_out)
        assert (second.content["userPublicKey"], second.content["wrapAndUnwrapSol"]) == (PAYER, False)


async def test_the_key_is_sent_and_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    async with jupiter(api_key=KEY) as on:
        with caplog.at_level(logging.DEBUG):
            await quoted(on)
            assert [one.headers["X-Api-Key"] for one in on.server.received] == [KEY]
            on.server.status = 401
            with pytest.raises(Unreachable, match="set DEXEXEC_JUPITER_API_KEY") as refused:
                await quoted(on)
        assert KEY not in f"{refused.value!r} {on.venue.options!r} {vars(on.venue)!r} {caplog.text}"
    async with jupiter() as on:
        await quoted(on)
        assert "X-Api-Key" not in on.server.received[0].headers


async def test_markets_can_be_chosen_and_left_out() -> None:
    async with jupiter(dexes="Raydium CP, Whirlpool", exclude_dexes="SolFi", only_direct_routes=True) as on:
        await quoted(on)
        content = on.server.received[0].content
        assert (content["dexes"], content["excludeDexes"]) == ("Raydium CP,Whirlpool", "SolFi")
        assert content["onlyDirectRoutes"] == "true"


async def test_an_exact_output_is_not_supported_and_costs_no_request() -> None:
    async with jupiter() as on:
        with pytest.raises(Unsupported, match="exactOut"):
            await quoted(on, replace(SELL, mode=Mode.EXACT_OUT))
        assert on.server.received == []


async def test_a_pair_without_a_route_is_an_ordinary_answer() -> None:
    other = base58.encode(bytes([9]) * 32)
    async with jupiter() as on:
        on.chain.held = {**on.chain.held, other: on.chain.held[USDC]}
        with pytest.raises(NoRoute, match="Jupiter has no route: Could not find any route"):
            await quoted(on, replace(SELL, mint_out=other))


STATUSES: dict[int, tuple[type[VenueError], str]] = {
    400: (BadAnswer, "status 400"),
    401: (Unreachable, "refused the key"),
    403: (Unreachable, "refused the key"),
    404: (BadAnswer, "status 404"),
    302: (BadAnswer, "status 302"),
    429: (RateLimited, "too many"),
    500: (Unreachable, "status 500"),
    503: (Unreachable, "status 503"),
}


@pytest.mark.parametrize("status", STATUSES)
async def test_each_status_has_its_own_error(status: int) -> None:
    error, text = STATUSES[status]
    async with jupiter() as on:
        on.server.status = status
        on.server.headers = {"Location": "http://127.0.0.1:9/"}
        with pytest.raises(error, match=text):
            await quoted(on)


async def test_a_refused_request_pauses_those_after_it() -> None:
    async with jupiter() as on:
        on.server.status = 429
        on.server.headers = {"Retry-After": "7"}
        with pytest.raises(RateLimited):
            await quoted(on)
        on.server.status = 200
        with pytest.raises(RateLimited, match="next one in 7 s"):
            await quoted(on)
        assert len(on.server.received) == 1
        on.clock.advance(7)
        await quoted(on)


async def test_the_budget_of_requests_is_kept_without_sending_one() -> None:
    async with jupiter(requests_per_minute=3) as on:
        quote = await quoted(on)
        await quoted(on)
        with pytest.raises(RateLimited, match="3 requests per minute"):
            await quoted(on)
        await built(on, quote)
        assert len(on.server.received) == 3


ANSWERS: dict[str, Any] = {
    "no JSON": b"<html>",
    "nothing": b"",
    "a list": b"[]",
    "deeply nested": b"[" * 100_000,
    "not UTF-8": b"\xff\xfe\xff",
    "a number of 5,000 digits": b'{"contextSlot": ' + b"9" * 5_000 + b"}",
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_answer_that_is_no_object_is_refused(name: str) -> None:
    async with jupiter() as on:
        on.server.change["quote"] = lambda _: ANSWERS[name]
        with pytest.raises(BadAnswer, match="Jupiter"):
            await quoted(on)


async def test_an_answer_is_read_up_to_a_bound() -> None:
    async with jupiter() as on:
        on.server.change["quote"] = lambda answer: {**answer, "more": "x" * 300_000}
        with pytest.raises(Unreachable):
            await quoted(on)


async def test_a_server_that_is_away_or_slow_is_reported() -> None:
    # Bound and not listening, so that no other process gets the port meanwhile.
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/swap/v1"
        async with jupiter(api_url=url) as on:
            with pytest.raises(Unreachable, match="cannot be reached"):
                await quoted(on)

    async def never(parameters: object) -> Any:
        await asyncio.Event().wait()

    async with jupiter() as on:
        on.server.quote = never  # type: ignore[method-assign]
        with pytest.raises(Timeout, match="did not answer in time"):
            await on.venue.quote(SELL, on.clock.monotonic() + 0.2)


async def test_a_token_whose_transfers_have_rules_of_their_own_costs_no_request() -> None:
    async with jupiter() as on:
        on.chain.held = {one: account for one, account in on.chain.held.items() if one != USDC}
        with pytest.raises(BadAnswer, match=USDC):
            await quoted(on)
        assert on.server.received == []


def swap_with(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Changes the swap's instruction."""
    return lambda answer: {**answer, "swapInstruction": change(answer["swapInstruction"])}


def account_at(place: int, who: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Another account at a place of the swap's instruction."""

    def change(step: dict[str, Any]) -> dict[str, Any]:
        accounts = list(step["accounts"])
        accounts[place] = {**accounts[place], "pubkey": who}
        return {**step, "accounts": accounts}

    return swap_with(change)


def behind(meta: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """One more account behind those of the swap's instruction."""
    return swap_with(lambda step: {**step, "accounts": [*step["accounts"], meta]})


SHARED: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "pays the output to another": account_at(6, address("thief")),
    "keeps the output": account_at(6, token_account(address("thief"), USDC).address),
    "a fee account": account_at(9, address("thief")),
    "a token program of its own": account_at(10, address("thief")),
    "our signature for a market": behind({"pubkey": PAYER, "isSigner": True, "isWritable": False}),
    "our account for a market": behind(
        {
            "pubkey": token_account(PAYER, WSOL).address,
            "isSigner": False,
            "isWritable": True,
        }
    ),
}


@pytest.mark.parametrize("name", SHARED)
async def test_hostile_routes_over_shared_accounts_are_not_built(name: str) -> None:
    async with jupiter() as on:
        quote = await quoted(on)
        on.server.change["swap-instructions"] = SHARED[name]
        with pytest.raises(BadAnswer, match="Jupiter's route"):
            await built(on, quote)


async def test_a_route_that_hands_the_wallet_on_is_built_only_if_that_is_allowed() -> None:
    async with jupiter() as on:
        quote = await quoted(on)
        assert (await built(on, quote)).instructions
        on.server.shares = False
        with pytest.raises(Unsupported, match="hand the wallet's signature on"):
            await built(on, quote)
    async with jupiter(shared_accounts=False) as on:
        await built(on, await quoted(on))
        assert on.server.received[-1].content["useSharedAccounts"] is False


HOSTILE: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "pays the output to another": account_at(3, address("thief")),
    "a destination beside ours": account_at(4, address("thief")),
    "a fee account": account_at(6, address("thief")),
    "another program": swap_with(lambda step: {**step, "programId": address("thief")}),
    "another pool": account_at(11, address("thief")),
    "a tip": lambda answer: {**answer, "otherInstructions": [answer["swapInstruction"]]},
    "a second swap in the setup": lambda answer: {**answer, "setupInstructions": [answer["swapInstruction"]]},
    "a table that is none": lambda answer: {**answer, "addressLookupTableAddresses": ["table"]},
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_instructions_are_not_built(name: str) -> None:
    async with jupiter(shared_accounts=False) as on:
        quote = await quoted(on)
        on.server.change["swap-instructions"] = HOSTILE[name]
        with pytest.raises((BadAnswer, Unsupported)):
            await built(on, quote)


async def test_an_old_or_foreign_quote_is_not_built() -> None:
    async with jupiter(quote_max_slots=10) as on:
        quote = await quoted(on)
        slot = quote.context_slot
        await built(on, quote, replace(BLOCKHASH, slot=slot + 10))
        with pytest.raises(QuoteExpired, match="11 slots old"):
            await built(on, quote, replace(BLOCKHASH, slot=slot + 11))
        with pytest.raises(BadAnswer, match="far in the future"):
            await built(on, quote, replace(BLOCKHASH, slot=slot - 200))
        for other in (replace(quote, venue="meteora"), replace(quote, raw={})):
            with pytest.raises(Unsupported, match="cannot be built"):
                await built(on, other)
        on.clock.advance(600)
        with pytest.raises(QuoteExpired, match="has expired"):
            await built(on, quote)
        assert len(on.server.received) == 2, "what is not built costs no request"


@pytest.mark.parametrize(
    ("custom", "origin", "meaning"),
    [
        (6001, "", Slippage),
        (6001, PROGRAM, Slippage),
        (6001, address("a pool"), NoRoute),
        (6016, PROGRAM, NoRoute),
        (9, PROGRAM, None),
        (None, PROGRAM, None),
    ],
)
async def test_failures_are_the_programs_or_those_of_a_pool(
    custom: int | None, origin: str, meaning: type[VenueError] | None
) -> None:
    async with jupiter() as on:
        failure = ProgramFailure(index=2, program=PROGRAM, custom=custom, text="failed", origin=origin)
        found = on.venue.explain(failure)
        assert found is None if meaning is None else type(found) is meaning
        assert on.venue.explain(replace(failure, program=address("another"))) is None


@pytest.mark.parametrize(
    ("given", "rule"),
    [("other", Rule.UNTRADED), ("thief", None)],
    ids=["our account of a third token", "an account of somebody"],
)
async def test_the_guard_looks_at_every_account_of_a_route(tmp_path: Path, given: str, rule: Rule | None) -> None:
    """The adapter cannot see which accounts the wallet has. What it lets pass, the guard refuses."""
    async with sealing_setup(tmp_path) as on:
        source, target = token_account(on.wallet, on.mint_in), token_account(on.wallet, on.mint_out)
        swap = Swap(payer=on.wallet, source=source, target=target, amount_in=100, min_out=49, hands_on=True)
        more = on.own_account(on.other) if given == "other" else address("thief")
        step = bounded(PROGRAM, route(PLAIN, AccountMeta(more, writable=True), swap=swap), swap, {POOL})
        rules = GuardRules(1_000_000, pins=Pins({"jupiter": frozenset({PROGRAM})}))
        sealer = solana_sealer(on.chain, Wallet(on.key.secret()), rules, SystemClock(), rent=on.chain.rent)
        quote = replace(on.quote(), venue="jupiter")
        unsigned = await on.build(on.opens(), step, signers=())
        until = SystemClock().monotonic() + 60
        # The program is not there: a transaction that the guard lets pass fails in the simulation.
        with pytest.raises(VenueError) as refused:
            await sealer.seal(on.venue, quote, unsigned, until, an_attempt())
        assert (refused.value.rule if isinstance(refused.value, GuardError) else None) is rule


async def test_a_start_needs_the_program_and_a_cluster_that_has_it() -> None:
    async with jupiter() as on:
        with pytest.raises(Unsupported, match="set DEXEXEC_JUPITER_PROGRAM_ID"):
            await on.venue.prepare()
        loader = "BPFLoaderUpgradeab1e11111111111111111111111"
        on.chain.held = {**on.chain.held, PROGRAM: Account(loader, 1, b"")}
        await on.venue.prepare()
        assert on.venue.programs == {PROGRAM}
        assert on.server.received == [], "the start costs no request"
