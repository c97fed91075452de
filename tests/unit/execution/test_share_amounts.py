"""Which wallet a share of the balance is of, and the bound for its amount, without a chain."""

import random
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, cast

import pytest

from dexexec.domain.balance import SpendableBalance
from dexexec.domain.bound import Bound
from dexexec.domain.order import U64_MAX, Side
from dexexec.domain.terms import Terms, TimeInForce
from dexexec.domain.token import KNOWN, Tokens
from dexexec.domain.wait_reason import Waiting
from dexexec.execution.event_detail import Presenter
from dexexec.execution.job import Job
from dexexec.execution.share_amounts import ShareAmounts
from dexexec.execution.wait_notes import WaitNotes
from dexexec.settlement.settlement import Settlement
from dexexec.testing.clock import ManualClock
from dexexec.venue import AnyVenue, InsufficientFunds, Network, Unsupported
from dexexec.venues.router import Answer, Routing
from tests.support.attempts import claimed_order
from tests.support.scripted import ScriptedVenue, quote_of

SOLD = 6_000_000
"""What the wallet has to sell: 6 USDC."""


class Notes:
    """Keeps what an order waited for."""

    def __init__(self) -> None:
        self.details: list[str] = []

    async def report(self, job: Job, waiting: Waiting) -> None:
        self.details.append(waiting.detail)


class Wallets:
    """Settlement as far as balances go: one answer after the other for each network, the last again and again."""

    def __init__(self, **balances: list[SpendableBalance]) -> None:
        self.balances = balances
        self.reads = 0

    async def spendable(self, network: str, mint: str, wallet: str | None = None) -> SpendableBalance:
        self.reads += 1
        left = self.balances[network]
        return left.pop(0) if len(left) > 1 else left[0]


def balance(amount: int = SOLD, reserved: int = 0) -> SpendableBalance:
    return SpendableBalance(account="account", slot=5, balance=amount, reserved=reserved)


def venues(clock: ManualClock, *networks: str) -> Mapping[str, AnyVenue]:
    made: dict[str, AnyVenue] = {}
    for place, network in enumerate(networks):
        venue = ScriptedVenue(f"v{place}", clock)
        venue.capabilities = replace(venue.capabilities, network=network)
        made[venue.name] = venue
    return made


def job_of(terms: Terms | None, **about: Any) -> Job:
    order = replace(claimed_order(), side=Side.SELL, amount_base=10**6, terms=terms, **about)
    return Job(
        order=order,
        status=order.status,
        version=1,
        rounds=0,
        attempts=0,
        refusals=0,
        deadline=1_000.0,
        begun=0.0,
        may_send=lambda: True,
    )


def shares(
    wallets: Wallets, *networks: str, clock: ManualClock | None = None, notes: Notes | None = None
) -> ShareAmounts:
    clock = clock or ManualClock()
    return ShareAmounts(
        settlement=cast("Settlement", wallets),
        venues=venues(clock, *(networks or (Network.LOCALNET,))),
        notes=cast("WaitNotes", notes or Notes()),
        presenter=Presenter(Tokens(KNOWN)),
        funds_wait_ms=3_000,
        clock=clock,
        rng=random.Random(1),
    )


ALL = Terms(share_bps=10_000)


async def test_a_fixed_amount_reads_nothing() -> None:
    wallets = Wallets()
    for terms in (None, Terms(close_account=True)):
        job = job_of(terms)
        assert await shares(wallets).fix(job) == {}
        assert (job.order.amount_base, job.amount, wallets.reads) == (10**6, None, 0)


async def test_the_amount_is_the_share_of_what_is_available() -> None:
    for share_bps, amount in ((10_000, 5_000_001), (5_000, 2_500_000), (1, 500)):
        job = job_of(Terms(share_bps=share_bps))
        detail = await shares(Wallets(localnet=[balance(reserved=SOLD - 5_000_001)])).fix(job)
        assert job.order.amount_base == amount
        assert job.amount is not None
        assert (job.amount.base_units, job.amount.bound) == (amount, None)
        assert detail["amountBase"] == str(amount)


async def test_the_same_amount_as_before_is_not_written_again() -> None:
    job = job_of(ALL)
    await shares(Wallets(localnet=[balance(10**6)])).fix(job)
    assert job.amount is None


async def test_the_bound_follows_the_amount_at_the_price_of_the_first_quote() -> None:
    job = job_of(ALL, bound=Bound(995, 1_000_000), first_quote=(1_000_000, 1_000), bound_open=False)
    await shares(Wallets(localnet=[balance(2_000_000)])).fix(job)
    assert job.order.bound == Bound(1_990, 2_000_000)
    assert job.order.first_quote == (1_000_000, 1_000), "that stays what it was"


async def test_a_stop_that_gave_its_bound_up_gets_another_one_from_the_next_quote() -> None:
    job = job_of(ALL, bound=None, first_quote=(1_000_000, 1_000))
    await shares(Wallets(localnet=[balance()])).fix(job)
    assert job.order.bound is None


@pytest.mark.parametrize("side", Side)
async def test_a_limit_is_the_bound_of_any_amount(side: Side) -> None:
    terms = Terms(share_bps=10_000, time_in_force=TimeInForce.GTC, limit_price=Decimal("150.5"))
    job = job_of(terms, first_quote=(7, 1))
    job.order = replace(job.order, side=side)
    await shares(Wallets(localnet=[balance(10**9)])).fix(job)
    # SOL has 9 decimals and USDC 6: 1 SOL for at least 150.5 USDC, or 1,000 USDC for at least 6.644... SOL, rounded up.
    assert job.order.bound == Bound(150_500_000 if side is Side.BUY else 6_644_518_273, 10**9)


async def test_a_bound_that_no_account_can_hold_is_still_a_number_that_can_be_stored() -> None:
    terms = Terms(share_bps=10_000, time_in_force=TimeInForce.GTC, limit_price=Decimal("0.000000000001"))
    job = job_of(terms)
    await shares(Wallets(localnet=[balance(U64_MAX)])).fix(job)
    assert job.order.bound == Bound(U64_MAX, U64_MAX)


async def test_a_balance_that_others_may_take_is_waited_for() -> None:
    clock = ManualClock()
    notes = Notes()
    wallets = Wallets(localnet=[balance(reserved=SOLD), balance(reserved=SOLD), balance(reserved=1)])
    job = job_of(ALL)
    await shares(wallets, clock=clock, notes=notes).fix(job)
    assert (job.order.amount_base, wallets.reads) == (SOLD - 1, 3)
    assert notes.details == [
        "the wallet's account account holds 6 USDC, of which other orders may still take 6 USDC:"
        " all of it comes to nothing"
    ] * 2  # fmt: skip


async def test_the_wait_for_others_ends() -> None:
    clock = ManualClock()
    job = job_of(ALL)
    with pytest.raises(InsufficientFunds, match="other orders may still take 6 USDC"):
        await shares(Wallets(localnet=[balance(reserved=SOLD)]), clock=clock).fix(job)
    assert clock.monotonic() - (job.funds_until or 0) == pytest.approx(0, abs=0.001)


async def test_an_empty_balance_is_not_waited_for() -> None:
    wallets = Wallets(localnet=[balance(0)])
    with pytest.raises(InsufficientFunds, match="holds 0 USDC: all of it comes to nothing"):
        await shares(wallets).fix(job_of(ALL))
    assert wallets.reads == 1


async def test_of_two_networks_with_balances_none_is_guessed() -> None:
    with pytest.raises(Unsupported, match="localnet and solana, whose wallets have different balances"):
        await shares(Wallets(), Network.SOLANA, Network.LOCALNET, Network.SIMULATED).fix(job_of(ALL))


async def test_quotes_that_would_spend_from_another_wallet_are_rejected() -> None:
    clock = ManualClock()
    one = shares(Wallets(localnet=[balance()]), Network.SIMULATED, Network.LOCALNET, clock=clock)
    job = job_of(ALL)
    await one.fix(job)
    swap = job.order.swap
    quotes = [quote_of(name, swap, 1) for name in ("v0", "v1")]
    answers = [Answer(venue=quote.venue, quote=quote) for quote in quotes]
    routing = one.from_one_wallet(Routing.of([*answers, Answer(venue="v0", code="timeout")]))
    assert [quote.venue for quote in routing.ranking] == ["v1"]
    assert [answer.code for answer in routing.answers] == ["unsupported", "", "timeout"]
