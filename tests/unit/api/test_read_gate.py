"""Who reads when, and who is refused: the gate in front of reads, and the pace of all other requests."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from unittest.mock import Mock

import pytest

from dexexec.api import read_gate
from dexexec.api.fair_queue import FairQueue
from dexexec.api.read_gate import ClientGoneError, ReadGate
from dexexec.api.request_pacer import LONGEST_REST, Pacer
from dexexec.errors import ReadsBusyError, TooManyReadsError
from tests.support.waiting import until


@dataclass
class Reader:
    """A client's connection with one read on it."""

    gate: ReadGate
    client: str = "a"
    gone: bool = False
    running: bool = False
    end: asyncio.Event = field(default_factory=asyncio.Event)
    take_answer: Callable[[], None] = lambda: None

    def peer_is_gone(self) -> bool:
        return self.gone

    def when_answered(self, callback: Callable[[], None]) -> None:
        self.take_answer = callback

    async def read(self) -> None:
        async with self.gate.read(self.client, self):
            self.running = True
            try:
                await self.end.wait()
            finally:
                self.running = False

    def start(self) -> "asyncio.Task[None]":
        return asyncio.create_task(self.read())


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_clients_take_turns_however_many_requests_one_has() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in ("a1", "a2", "a3", "b1", "c1", "c2"):
        queue.put(item[0], item)
    assert [queue.take() for _ in range(6)] == ["a1", "b1", "c1", "a2", "c2", "a3"]
    assert not queue


async def test_a_turn_of_the_loop_begins_a_few_requests_and_the_others_later_in_the_clients_order() -> None:
    pacer, begun = Pacer(per_turn=2), list[str]()

    async def request(name: str) -> None:
        turn = pacer.turn(name[0])
        if turn is not None:
            await turn
        begun.append(name)

    tasks = [asyncio.create_task(request(name)) for name in ("a1", "a2", "a3", "a4", "b1")]
    await asyncio.sleep(0)
    assert begun == ["a1", "a2"]
    await asyncio.gather(*tasks)
    assert begun == ["a1", "a2", "a3", "b1", "a4"]
    assert pacer.turn("a") is None


async def test_while_requests_wait_a_turn_is_followed_by_a_rest_as_long_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    pacer, later = Pacer(per_turn=1), Mock(wraps=loop.call_later)
    monkeypatch.setattr(loop, "call_later", later)
    assert pacer.turn("a") is None
    waiting = pacer.turn("a")
    assert waiting is not None
    until_then = loop.time() + 2 * LONGEST_REST
    while loop.time() < until_then:
        pass
    await waiting
    assert later.call_args_list[0].args[0] == LONGEST_REST


async def test_so_many_read_at_once_and_the_others_follow_one_client_after_the_other() -> None:
    gate = ReadGate(at_once=1, per_client=10)
    first, second, third, other = Reader(gate), Reader(gate), Reader(gate), Reader(gate, "b")
    tasks = [reader.start() for reader in (first, second, third, other)]
    await settle()
    for reader in (first, second, other, third):
        await until(lambda reader=reader: reader.running)  # type: ignore[misc]
        assert [one.running for one in (first, second, third, other)].count(True) == 1
        reader.end.set()
    await asyncio.gather(*tasks)


async def test_while_others_wait_a_read_is_followed_by_a_rest_and_else_by_the_next_at_once() -> None:
    gate = ReadGate(at_once=1, per_client=10)
    first, second = Reader(gate), Reader(gate)
    loop = asyncio.get_running_loop()
    tasks = [first.start(), second.start()]
    await until(lambda: first.running)
    begun = loop.time()
    await asyncio.sleep(0.02)
    first.end.set()
    await settle()
    assert not second.running
    await until(lambda: second.running)
    # The read took at least as long as the pause here, and its rest as long as itself.
    assert loop.time() - begun >= 0.0399
    second.end.set()
    await asyncio.gather(*tasks)
    third = Reader(gate)
    task = third.start()
    await asyncio.sleep(0)
    assert third.running
    third.end.set()
    await task


async def test_a_client_with_too_many_reads_in_flight_is_refused_until_it_takes_its_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(read_gate, "REFUSAL_SECONDS", 0.0)
    gate = ReadGate(at_once=5, per_client=2)
    readers = [Reader(gate), Reader(gate)]
    for reader in readers:
        reader.end.set()
        await reader.read()
    with pytest.raises(TooManyReadsError) as caught:
        await Reader(gate).read()
    assert (caught.value.http_status, caught.value.retry_after) == (429, 1.0)
    other = Reader(gate, "b")
    other.end.set()
    await other.read()
    readers[0].take_answer()
    again = Reader(gate)
    again.end.set()
    await again.read()


async def test_who_waits_too_long_is_refused_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_gate, "WAIT_SECONDS", 0.02)
    gate = ReadGate(at_once=1, per_client=10)
    first = Reader(gate)
    task = first.start()
    await settle()
    with pytest.raises(ReadsBusyError) as caught:
        await Reader(gate).read()
    assert (caught.value.http_status, caught.value.retry_after) == (503, 1.0)
    first.end.set()
    await task
    last = Reader(gate)
    last.end.set()
    await until(lambda: gate.free == 1)
    await last.read()


async def test_the_read_of_a_client_that_has_gone_is_not_begun() -> None:
    gate = ReadGate(at_once=1, per_client=10)
    with pytest.raises(ClientGoneError):
        await Reader(gate, gone=True).read()
    first, leaver, last = Reader(gate), Reader(gate), Reader(gate)
    tasks = [reader.start() for reader in (first, leaver, last)]
    await settle()
    leaver.gone = True
    first.end.set()
    await until(lambda: last.running)
    with pytest.raises(ClientGoneError):
        await tasks[1]
    last.end.set()
    await asyncio.gather(tasks[0], tasks[2])


async def test_a_read_that_fails_or_is_cancelled_gives_its_place_back() -> None:
    gate = ReadGate(at_once=1, per_client=10)
    first, second, third = Reader(gate), Reader(gate), Reader(gate)
    tasks = [reader.start() for reader in (first, second, third)]
    await settle()
    tasks[1].cancel()  # while it waits
    tasks[0].cancel()  # while it runs
    await until(lambda: third.running)
    tasks[2].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await until(lambda: gate.free == 1)


async def test_a_read_that_is_cancelled_in_the_moment_of_its_turn_gives_it_to_the_next() -> None:
    gate = ReadGate(at_once=1, per_client=10)
    first, second = Reader(gate), Reader(gate)
    tasks = [first.start(), second.start()]
    await settle()
    first.end.set()
    while gate.waiting:
        await asyncio.sleep(0)
    tasks[1].cancel()  # its turn has come, and it does not know yet
    await asyncio.gather(*tasks, return_exceptions=True)
    await until(lambda: gate.free == 1)
