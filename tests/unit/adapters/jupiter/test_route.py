"""The instruction of a route: only the order's swap, with the order's bounds, and nothing that hides behind them."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain.solana import AccountMeta, Instruction
from dexexec.domain.token import USDC, WSOL
from dexexec.venue import BadAnswer, Unsupported
from dexexec_adapters.jupiter.route import (
    ARGUMENTS,
    LAST_MARKET,
    MOST_HOPS,
    PARAMETER_BYTES,
    ROUTE,
    bounded,
    check_plan,
    check_setup,
)
from dexexec_adapters.solana.spl import (
    ASSOCIATED_TOKEN,
    SYSTEM,
    TOKEN_2022,
    create_associated_idempotent,
    transfer_lamports,
)
from tests.support.jupiter_routes import (
    AUTHORITY,
    PAYER,
    PLAIN,
    POOL,
    PROGRAM,
    SOURCE,
    SWAP,
    TARGET,
    route,
    shared_route,
)
from tests.support.swap_transactions import address

THIEF = address("thief")


@pytest.mark.parametrize("step", [route(), shared_route()], ids=["route", "shared accounts"])
def test_the_bounds_are_the_orders_to_the_unit(step: Instruction) -> None:
    found = bounded(PROGRAM, step, SWAP, {POOL})
    assert found.data[: -ARGUMENTS.size] == step.data[: -ARGUMENTS.size]
    assert ARGUMENTS.unpack(found.data[-ARGUMENTS.size :]) == (SWAP.amount_in, SWAP.min_out, 0, 0)
    assert (found.program, found.accounts) == (step.program, step.accounts)


@pytest.mark.parametrize(
    "arguments",
    [(2**64 - 1, 1, 10_000, 0), (1, 0, 0, 0), (1_000_000, 125_630, 50, 255)],
    ids=["sells everything", "no bound", "a fee for somebody"],
)
def test_what_the_api_wrote_as_bounds_does_not_matter(arguments: tuple[int, ...]) -> None:
    step = route(arguments=ARGUMENTS.pack(*arguments))
    assert bounded(PROGRAM, step, SWAP, {POOL}) == bounded(PROGRAM, route(), SWAP, {POOL})


def placed(step: Instruction, place: int, meta: AccountMeta) -> Instruction:
    """The instruction with another account."""
    metas = list(step.accounts)
    metas[place] = meta
    return replace(step, accounts=tuple(metas))


@pytest.mark.parametrize("place", [0, 1, 2, 3, 4, 5, 6, 8])
def test_each_account_of_a_route_has_its_place(place: int) -> None:
    with pytest.raises(BadAnswer, match=f"as its account {place}"):
        bounded(PROGRAM, placed(route(), place, AccountMeta(THIEF, writable=True)), SWAP, {POOL})


@pytest.mark.parametrize("place", [0, 2, 3, 6, 7, 8, 9, 10, 12])
def test_each_account_of_a_shared_route_has_its_place(place: int) -> None:
    with pytest.raises(BadAnswer, match=f"as its account {place}"):
        bounded(PROGRAM, placed(shared_route(), place, AccountMeta(THIEF, writable=True)), SWAP, {POOL})


def test_the_wallets_signature_stays_with_jupiter_unless_the_operator_allows_more() -> None:
    kept = replace(SWAP, hands_on=False)
    bounded(PROGRAM, shared_route(), kept, {POOL})
    with pytest.raises(Unsupported, match="hand the wallet's signature on"):
        bounded(PROGRAM, route(), kept, {POOL})
    assert placed(shared_route(), 10, AccountMeta(TOKEN_2022)) == bounded_shared(AccountMeta(TOKEN_2022))


def bounded_shared(token_program: AccountMeta) -> Instruction:
    """A shared route with its token program, and the API's own data."""
    step = placed(shared_route(), 10, token_program)
    return replace(bounded(PROGRAM, step, SWAP, {POOL}), data=step.data)


@pytest.mark.parametrize("place", [1, 4, 5, 11, 13, 14])
@pytest.mark.parametrize("own", [PAYER, SOURCE.address, TARGET.address])
def test_the_wallets_accounts_are_used_by_nothing_else(place: int, own: str) -> None:
    with pytest.raises(BadAnswer, match="in another way"):
        bounded(PROGRAM, placed(shared_route(), place, AccountMeta(own, writable=True)), SWAP, {POOL})


CHANGES: dict[str, tuple[Callable[[Instruction], Instruction], type[Exception], str]] = {
    "another program": (lambda step: replace(step, program=THIEF), BadAnswer, "not Jupiter's program"),
    "another instruction": (
        lambda step: replace(step, data=bytes.fromhex("bb64facc31c4af14") + step.data[8:]),
        Unsupported,
        "bb64facc31c4af14 is not supported",
    ),
    "an exact output": (
        lambda step: replace(step, data=bytes.fromhex("d033ef977b2bed5c") + step.data[8:]),
        Unsupported,
        "is not supported",
    ),
    "no data": (lambda step: replace(step, data=b""), Unsupported, "is not supported"),
    "no arguments": (lambda step: replace(step, data=ROUTE), BadAnswer, "cut off"),
    "another signer": (
        lambda step: replace(step, accounts=(*step.accounts, AccountMeta(THIEF, signer=True))),
        BadAnswer,
        "signature of another key",
    ),
    "no signature": (lambda step: placed(step, 1, AccountMeta(PAYER)), BadAnswer, "lacks the wallet's signature"),
    "few accounts": (lambda step: replace(step, accounts=step.accounts[:8]), BadAnswer, "lacks accounts"),
    "another pool": (lambda step: placed(step, 10, AccountMeta(THIEF)), BadAnswer, "does not name the pool"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_instruction_is_refused(change: str) -> None:
    changed, error, text = CHANGES[change]
    with pytest.raises(error, match=text):
        bounded(PROGRAM, changed(route()), SWAP, {POOL})


def plan(*steps: bytes, count: int | None = None) -> bytes:
    """A route of these steps."""
    return (len(steps) if count is None else count).to_bytes(4, "little") + b"".join(steps)


def step_of(market: int, parameters: bytes = b"") -> bytes:
    return bytes([market]) + parameters + bytes([100, 0, 1])


SLICES = (2).to_bytes(4, "little") + b"\0\1\1\2"
GOOD = {
    "one": plan(step_of(46)),
    "three, with parameters": plan(step_of(46), step_of(17, b"\1"), step_of(43, bytes(10))),
    "an optional list": plan(step_of(47, b"\1\1" + SLICES)),
    "no optional list": plan(step_of(47, b"\1\0")),
    "a list": plan(step_of(75, SLICES), step_of(77)),
    "unknown markets without parameters": plan(step_of(200), step_of(255)),
}
BAD = {
    "nothing": b"",
    "no steps": plan(),
    "too many steps": plan(*[step_of(46)] * (MOST_HOPS + 1)),
    "a huge count": plan(step_of(46), count=2**32 - 1),
    "bytes behind": plan(step_of(46)) + b"\0",
    "arguments of its own behind": plan(step_of(46)) + ARGUMENTS.pack(2**64 - 1, 0, 10_000, 0),
    "a step that is not counted": plan(step_of(17, b"\1"), step_of(46), count=1),
    "cut parameters": plan(step_of(43, bytes(9))),
    "an invalid option": plan(step_of(47, b"\1\2" + SLICES)),
    "a list that is too long": plan(step_of(75, (2**31).to_bytes(4, "little"))),
    "a cut list": plan(bytes([75, 1])),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_route_ends_where_its_arguments_begin(name: str) -> None:
    check_plan(GOOD[name])
    bounded(PROGRAM, route(GOOD[name]), SWAP, {POOL})


@pytest.mark.parametrize("name", BAD)
def test_nothing_hides_between_the_route_and_its_arguments(name: str) -> None:
    with pytest.raises((BadAnswer, Unsupported)):
        check_plan(BAD[name])


@pytest.mark.parametrize("market", [LAST_MARKET + 1, 255])
def test_parameters_of_an_unknown_market_are_refused_by_its_number(market: int) -> None:
    with pytest.raises(Unsupported, match=f"number {market} has parameters that are not known"):
        check_plan(plan(step_of(market, b"\0")))
    # Beside one that has parameters, where it begins cannot be known.
    with pytest.raises(Unsupported, match=f"number {market}"):
        check_plan(plan(step_of(17, b"\1"), step_of(market)))


MARKETS = st.integers(0, 255)


@given(st.lists(st.tuples(MARKETS, st.binary(max_size=12)), min_size=1, max_size=4), st.binary(max_size=4))
def test_an_accepted_route_leaves_no_byte_over(steps: list[tuple[int, bytes]], more: bytes) -> None:
    """Either what the API writes is refused, or the program reads all of it before the arguments."""
    written = plan(*(step_of(market, parameters) for market, parameters in steps)) + more
    try:
        check_plan(written)
    except (BadAnswer, Unsupported):
        return
    at = 4
    for _ in steps:
        market = written[at]
        if market in (47, 75):
            return  # their lists have a test of their own
        at += 4 + (PARAMETER_BYTES.get(market, 0) if market <= LAST_MARKET else 0)
    # Shorter than the route, the program runs out of bytes and fails. It must never end before its end.
    assert at >= len(written)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_route_or_refused(data: bytes) -> None:
    step = replace(route(), data=ROUTE + data)
    try:
        found = bounded(PROGRAM, step, SWAP, {POOL})
    except (BadAnswer, Unsupported):
        return
    assert len(found.data) == len(step.data)


def opening(owner: str = PAYER, account: str = TARGET.address) -> Instruction:
    return create_associated_idempotent(PAYER, account, owner, USDC)


def test_setup_may_open_the_accounts_of_the_two_tokens() -> None:
    check_setup([opening(), opening(account=SOURCE.address), replace(opening(), data=b"")], SWAP)
    check_setup([], SWAP)


@pytest.mark.parametrize(
    "step",
    [
        transfer_lamports(PAYER, THIEF, 1),
        opening(owner=AUTHORITY),
        opening(account=THIEF),
        replace(opening(), data=b"\2"),
        replace(opening(), program=SYSTEM),
        Instruction(ASSOCIATED_TOKEN, (), b"\1"),
    ],
    ids=["pays", "another owner", "another account", "recovers", "another program", "no accounts"],
)
def test_any_other_setup_is_refused(step: Instruction) -> None:
    with pytest.raises(Unsupported, match="set up"):
        check_setup([opening(), step], SWAP)


def test_the_swap_sells_sol_here() -> None:
    assert (SOURCE.mint, TARGET.mint) == (WSOL, USDC)
    assert plan(step_of(46)) == PLAIN
