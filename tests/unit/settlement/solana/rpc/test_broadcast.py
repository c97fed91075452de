"""Sending to several endpoints: none of them delays the others, and none decides anything."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from dexexec.domain.sends import SendAnswer, SendLog
from dexexec.domain.swap import Accepted, SignedSwap, Unknown
from dexexec.settlement.solana.rpc.broadcast import Broadcaster, SendOptions
from dexexec.settlement.solana.rpc.node_errors import NodeRateLimitedError, NodeRefusedError, NodeUnavailableError
from dexexec.testing.clock import ManualClock
from dexexec.venue import Timeout, Unreachable

SWAP = SignedSwap(signature="sig", payload=b"bytes", last_valid_height=1)
LONG = 3_600.0
"""Seconds of a slot that no test waits for."""


@dataclass
class ScriptedEndpoint:
    """Answers with `answer`: a signature or an error. While `hangs` is set it does not answer."""

    name: str
    answer: str | Exception = "sig"
    hangs: bool = False
    send_only: bool = False
    sent: list[tuple[bytes, bool]] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, payload: bytes, *, spare: bool) -> str:
        self.sent.append((payload, spare))
        if self.hangs:
            await self.released.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def broadcaster(
    *endpoints: ScriptedEndpoint, options: SendOptions | None = None, slot_seconds: float = LONG
) -> Broadcaster:
    order: Sequence[ScriptedEndpoint] = endpoints
    return Broadcaster(
        lambda: order,
        ManualClock(),
        options or SendOptions(),
        slot=lambda: 100,
        slot_seconds=lambda: slot_seconds,
        timeout=4.0,
    )


async def settled(log: SendLog) -> SendLog:
    """The log once every request has ended."""
    while any(sends.in_flight for sends in log):
        await asyncio.sleep(0)
    return log


async def test_one_acceptance_is_enough_and_the_answers_of_the_others_are_recorded_later() -> None:
    slow = ScriptedEndpoint("slow", hangs=True)
    log = SendLog()
    sender = broadcaster(slow, ScriptedEndpoint("fast"))
    assert await sender.send(SWAP, log) == Accepted()
    assert [(sends.endpoint, sends.answer, sends.in_flight) for sends in log] == [
        ("slow", SendAnswer.NO_ANSWER, 1),
        ("fast", SendAnswer.ACCEPTED, 0),
    ]
    slow.released.set()
    assert [sends.answer for sends in await settled(log)] == [SendAnswer.ACCEPTED] * 2


@pytest.mark.parametrize("at_once", [True, False])
async def test_endpoints_that_all_hang_hold_the_caller_for_the_length_of_a_slot_only(at_once: bool) -> None:
    hanging = [ScriptedEndpoint(name, hangs=True) for name in ("one", "two")]
    sender = broadcaster(*hanging, options=SendOptions(at_once=at_once), slot_seconds=0.0)
    log = SendLog()
    assert isinstance(await sender.send(SWAP, log), Unknown)
    await asyncio.sleep(0)
    assert [len(endpoint.sent) for endpoint in hanging] == [1, 1], "a hanging one holds nothing back from the other"
    await sender.send(SWAP, log)
    assert [len(endpoint.sent) for endpoint in hanging] == [1, 1], "no more requests than one hang in each"
    await sender.aclose()


@pytest.mark.parametrize("answer", ["sig", "another", NodeRefusedError("no", -32002, None)])
async def test_with_the_best_first_any_answer_of_it_lets_the_others_follow(answer: str | Exception) -> None:
    first, second = ScriptedEndpoint("first", answer), ScriptedEndpoint("second")
    sender = broadcaster(first, second, options=SendOptions(at_once=False))
    log = SendLog()
    assert await sender.send(SWAP, log) == Accepted()
    await settled(log)
    assert (first.sent, second.sent) == ([(b"bytes", False)], [(b"bytes", False)])


async def test_repeated_sends_are_spare_and_go_to_all_at_once() -> None:
    endpoints = [ScriptedEndpoint("one"), ScriptedEndpoint("two")]
    sender = broadcaster(*endpoints, options=SendOptions(at_once=False))
    log = SendLog()
    for _ in range(3):
        await sender.send(SWAP, log)
        await settled(log)
    for endpoint in endpoints:
        assert [spare for _, spare in endpoint.sent] == [False, True, True]
    assert [sends.sends for sends in log] == [3, 3]


async def test_bytes_that_no_endpoint_has_accepted_wait_for_their_turn_each_time() -> None:
    endpoint = ScriptedEndpoint("a", answer=NodeRateLimitedError("too many requests"))
    sender, log = broadcaster(endpoint), SendLog()
    for _ in range(2):
        await sender.send(SWAP, log, patient=True)
        await settled(log)
    endpoint.answer = "sig"
    for _ in range(2):
        await sender.send(SWAP, log, patient=True)
        await settled(log)
    assert [spare for _, spare in endpoint.sent] == [False, False, False, True]


async def test_an_endpoint_gets_no_more_than_its_budget_and_a_repeated_send_does_not_wait_for_it() -> None:
    endpoint = ScriptedEndpoint("one")
    sender = broadcaster(endpoint, options=SendOptions(per_second=1.0))
    log = SendLog()
    for _ in range(5):
        await sender.send(SWAP, log)
        await settled(log)
    assert len(endpoint.sent) == 1
    assert [(sends.sends, sends.answer) for sends in log] == [(1, SendAnswer.ACCEPTED)]
    other = SendLog()
    await sender.send(SWAP, other)
    await settled(other)
    assert len(endpoint.sent) == 2, "the first send of another attempt waits for its turn"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NodeRefusedError("no", -32002, None), SendAnswer.REFUSED),
        (NodeRateLimitedError("429"), SendAnswer.RATE_LIMITED),
        (NodeRateLimitedError("cools down", sent=False), SendAnswer.NOT_SENT),
        (NodeUnavailableError("late", Timeout), SendAnswer.NO_ANSWER),
        (NodeUnavailableError("broke off", Unreachable), SendAnswer.FAILED),
        (NodeUnavailableError("nobody there", Unreachable, sent=False), SendAnswer.NOT_SENT),
        (ZeroDivisionError("a bug"), SendAnswer.FAILED),
    ],
)
async def test_no_error_is_more_than_an_unknown_outcome(error: Exception, expected: SendAnswer) -> None:
    log = SendLog()
    answer = await broadcaster(ScriptedEndpoint("one", error)).send(SWAP, log, patient=True)
    assert isinstance(answer, Unknown)
    assert [sends.answer for sends in log] == [expected]


async def test_an_acceptance_is_not_taken_back_by_a_later_refusal() -> None:
    endpoint = ScriptedEndpoint("one")
    sender = broadcaster(endpoint)
    log = SendLog()
    await sender.send(SWAP, log)
    endpoint.answer = NodeRefusedError("already processed", -32002, None)
    assert await sender.send(SWAP, log) == Accepted()


async def test_closing_ends_what_still_runs() -> None:
    sender = broadcaster(ScriptedEndpoint("one", hangs=True), slot_seconds=0.0)
    log = SendLog()
    await sender.send(SWAP, log)
    await asyncio.sleep(0)
    await sender.aclose()
    assert [sends.in_flight for sends in log] == [0]


def test_the_addresses_of_send_only_endpoints_are_not_shown() -> None:
    assert "secret" not in repr(SendOptions(urls=["https://sender.example/?api-key=secret-key"]))
