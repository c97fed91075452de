"""A wallet whose signer fails: its orders wait without a try, no venue is blamed, and they are filled afterwards."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import repeat

from dexexec.domain.status import Status
from dexexec.domain.swap import SignedSwap, UnsignedSwap
from dexexec.execution.retry_policy import RetryPolicy
from dexexec.settlement.signer_errors import SignerError, SignerTrouble
from tests.support.orders_on_servers import statuses_of
from tests.support.parts import new_order, running
from tests.support.scripted_workers import OpenScriptedWorkers, UniqueSigner, waits_for
from tests.support.waiting import until

OUTAGE = SignerError(SignerTrouble.UNREACHABLE, "the signer of wallet desk: vault: HTTP request failed")
QUICK = RetryPolicy(attempts=2, base_ms=5, max_ms=10, rounds=2)
"""Fewer tries and rounds than the outage lasts."""


@dataclass
class FailingSigner(UniqueSigner):
    """A signer that fails as often as it has errors left."""

    errors: Iterator[SignerError] = field(default_factory=lambda: iter(()))
    tries: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    def sign(self, unsigned: UnsignedSwap) -> SignedSwap:
        self.tries += 1
        for error in self.errors:
            raise error
        signed: SignedSwap = super().sign(unsigned)
        return signed


async def test_promise_17_an_outage_of_the_signer_costs_an_order_no_try_and_blames_no_venue(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    signer = FailingSigner(errors=iter([OUTAGE] * 6))
    async with scripted_workers() as on, running(on.worker(signer=signer, retry_policy=QUICK).run()):
        events = await on.ended(await on.post())
        assert events[-1].status is Status.CONFIRMED
        waits = [event for event in events if event.detail.get("reason") == "signer"]
        assert len(waits) == 6
        assert {(event.status, event.detail["triesLeft"]) for event in waits} == {(Status.ROUTING, 2)}
        assert events[-1].detail["venue"] == "a", "the best venue is still the first choice"
        assert statuses_of(events).count("submitted") == 1
        assert len(on.chain.sent) == 1


async def test_an_order_shows_that_it_waits_for_its_signer_and_expires_with_that_reason(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    signer = FailingSigner(errors=repeat(OUTAGE))
    slow = RetryPolicy(attempts=2, base_ms=200, max_ms=400)
    async with scripted_workers() as on, running(on.worker(signer=signer, retry_policy=slow).run()):
        order_id = await on.post(new_order(deadline_ms=2_500))
        await until(lambda: waits_for(on, order_id, "signer"), pause=0.02)
        assert (await on.view(order_id))["waitingFor"]["detail"] == str(OUTAGE)
        events = await on.ended(order_id)
        assert (events[-1].status, events[-1].detail["reason"]) == (Status.EXPIRED, "signer")
        assert on.chain.sent == []


async def test_an_order_of_a_wallet_that_is_gone_waits_and_those_of_others_go_on(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    slow = RetryPolicy(attempts=2, base_ms=60_000, max_ms=60_000)
    async with scripted_workers() as on, running(on.worker(retry_policy=slow, concurrency=1).run()):
        waiting = await on.post(replace(new_order(deadline_ms=3_600_000), wallet="desk-9"))
        await until(lambda: waits_for(on, waiting, "signer"), pause=0.02)
        view = await on.view(waiting)
        assert "no wallet named desk-9" in view["waitingFor"]["detail"]
        assert (view["wallet"], view["attemptCount"], on.a.asked, on.b.asked) == ("desk-9", 0, 0, 0)
        assert (await on.ended(await on.post()))[-1].status is Status.CONFIRMED, "its one place is free"
