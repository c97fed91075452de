"""Tasks on the way down: none is waited for without a bound, and no result is lost that was there in time."""

import asyncio

import pytest

from dexexec.concurrency.cancellation import cancelled, unless_stopped


async def forever() -> str:
    await asyncio.Event().wait()
    return "never"


async def stubborn(go_on: asyncio.Event) -> None:
    """Ignores cancellations, and ends only when it is released."""
    while not go_on.is_set():
        try:
            await go_on.wait()
        except asyncio.CancelledError:
            continue


async def answer() -> str:
    return "answer"


async def test_work_that_ends_before_the_stop_has_its_result() -> None:
    assert await unless_stopped(asyncio.Event(), answer()) == "answer"


async def test_work_is_cancelled_by_the_stop() -> None:
    stop = asyncio.Event()
    work = asyncio.create_task(unless_stopped(stop, forever()))
    await asyncio.sleep(0)
    stop.set()
    assert await work is None


async def test_work_has_its_grace_after_the_stop() -> None:
    stop, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        await go_on.wait()
        return "in time"

    stop.set()
    work = asyncio.create_task(unless_stopped(stop, slow(), grace=60))
    await asyncio.sleep(0)
    go_on.set()
    assert await work == "in time"


async def test_an_error_of_the_work_is_raised() -> None:
    async def fails() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await unless_stopped(asyncio.Event(), fails())


async def test_a_cancelled_caller_cancels_the_work() -> None:
    gone = asyncio.Event()

    async def work() -> None:
        try:
            await forever()
        finally:
            gone.set()

    waiting = asyncio.create_task(unless_stopped(asyncio.Event(), work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert gone.is_set()


async def test_a_task_that_does_not_end_is_returned() -> None:
    go_on = asyncio.Event()
    deaf, other = asyncio.create_task(stubborn(go_on)), asyncio.create_task(forever())
    await asyncio.sleep(0)
    assert await cancelled([deaf, other], seconds=0.01) == {deaf}
    assert other.cancelled()
    go_on.set()
    await deaf


async def test_without_tasks_there_is_no_wait() -> None:
    assert await cancelled([]) == set()
