"""Group commit: no timer delays a caller, each caller gets its own answer, and a bad item fails alone."""

import asyncio

import pytest

from dexexec.concurrency.batcher import Batcher
from tests.support.parts import running


class Ledger:
    """A write that can be held open, so that a test decides what comes while it runs."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.begun = asyncio.Event()

    async def write(self, items: list[int]) -> list[str]:
        self.batches.append(items)
        self.begun.set()
        await self.open.wait()
        if any(item < 0 for item in items):
            raise ValueError(f"refused {items}")
        return [str(item) for item in items]


async def test_a_lone_item_is_written_at_once() -> None:
    ledger = Ledger()
    batcher: Batcher[int, str] = Batcher(ledger.write)
    async with running(batcher.run()):
        assert await batcher.put(1) == "1"


async def test_items_that_come_during_a_write_are_written_together_and_in_order() -> None:
    ledger = Ledger()
    batcher: Batcher[int, str] = Batcher(ledger.write)
    async with running(batcher.run()):
        ledger.open.clear()
        first = asyncio.create_task(batcher.put(0))
        await ledger.begun.wait()
        rest = [asyncio.create_task(batcher.put(n)) for n in range(1, 20)]
        await asyncio.sleep(0)
        ledger.open.set()
        assert await asyncio.gather(first, *rest) == [str(n) for n in range(20)]
    assert ledger.batches == [[0], list(range(1, 20))]


async def test_a_batch_is_never_longer_than_the_limit() -> None:
    ledger = Ledger()
    batcher: Batcher[int, str] = Batcher(ledger.write, limit=3)
    tasks = [asyncio.create_task(batcher.put(n)) for n in range(8)]
    await asyncio.sleep(0)
    async with running(batcher.run()):
        await asyncio.gather(*tasks)
    assert [len(batch) for batch in ledger.batches] == [3, 3, 2]


async def test_an_error_reaches_every_caller_of_its_batch_and_no_other() -> None:
    ledger = Ledger()
    batcher: Batcher[int, str] = Batcher(ledger.write)
    async with running(batcher.run()):
        results = await asyncio.gather(batcher.put(-1), batcher.put(2), return_exceptions=True)
        assert [type(result) for result in results] == [ValueError, ValueError]
        assert await batcher.put(3) == "3"


async def test_a_refused_item_fails_alone_if_its_error_allows_that() -> None:
    ledger = Ledger()
    batcher: Batcher[int, str] = Batcher(ledger.write, separate=(ValueError,))
    async with running(batcher.run()):
        results = await asyncio.gather(*map(batcher.put, [1, -2, 3]), return_exceptions=True)
    assert [str(result) for result in results] == ["1", "refused [-2]", "3"]


async def test_the_item_of_a_cancelled_caller_is_not_written_and_the_others_are() -> None:
    ledger = Ledger()
    batcher: Batcher[int, str] = Batcher(ledger.write)
    async with running(batcher.run()):
        ledger.open.clear()
        first = asyncio.create_task(batcher.put(0))
        await ledger.begun.wait()
        impatient, patient = asyncio.create_task(batcher.put(1)), asyncio.create_task(batcher.put(2))
        await asyncio.sleep(0)
        impatient.cancel()
        ledger.open.set()
        assert list(await asyncio.gather(first, patient)) == ["0", "2"]
    assert ledger.batches == [[0], [2]]


async def test_items_of_cancelled_callers_take_no_place_in_a_batch() -> None:
    ledger = Ledger()
    batcher: Batcher[int, str] = Batcher(ledger.write, limit=2)
    tasks = [asyncio.create_task(batcher.put(n)) for n in range(6)]
    await asyncio.sleep(0)
    for n in (0, 2, 4, 5):
        tasks[n].cancel()
    await asyncio.sleep(0)
    async with running(batcher.run()):
        assert await tasks[1] == "1"
        assert await tasks[3] == "3"
        assert await batcher.put(6) == "6"
    assert ledger.batches == [[1, 3], [6]]


async def test_a_caller_that_is_cancelled_during_a_write_does_not_affect_the_others() -> None:
    ledger = Ledger()
    batcher: Batcher[int, str] = Batcher(ledger.write)
    ledger.open.clear()
    async with running(batcher.run()):
        gone, stays = asyncio.create_task(batcher.put(0)), asyncio.create_task(batcher.put(1))
        await ledger.begun.wait()
        gone.cancel()
        ledger.open.set()
        assert await stays == "1"
        assert gone.cancelled()
    assert ledger.batches == [[0, 1]], "what is being written is not taken back"


async def test_an_item_is_not_written_again_when_its_caller_was_cancelled() -> None:
    ledger = Ledger()
    batcher: Batcher[int, str] = Batcher(ledger.write, separate=(ValueError,))
    ledger.open.clear()
    async with running(batcher.run()):
        bad, gone, stays = (asyncio.create_task(batcher.put(n)) for n in (-1, 2, 3))
        await ledger.begun.wait()
        gone.cancel()
        ledger.open.set()
        assert await stays == "3"
        with pytest.raises(ValueError, match="refused"):
            await bad
    assert ledger.batches == [[-1, 2, 3], [-1], [3]]


async def test_callers_are_cancelled_when_the_batcher_stops() -> None:
    ledger = Ledger()
    batcher: Batcher[int, str] = Batcher(ledger.write)
    ledger.open.clear()
    async with running(batcher.run()):
        waiting = [asyncio.create_task(batcher.put(n)) for n in range(3)]
        await ledger.begun.wait()
    for task in waiting:
        with pytest.raises(asyncio.CancelledError):
            await task
