"""The tests' clock: time passes only when a test moves it, and in order."""

import asyncio

from dexexec.testing.clock import ManualClock


def test_both_clocks_move_together_and_only_by_the_test() -> None:
    clock = ManualClock(unix_ms=5_000)
    assert (clock.unix_ms(), clock.monotonic()) == (5_000, 0.0)
    for _ in range(10):
        clock.advance(0.1)
    assert (clock.unix_ms(), clock.monotonic()) == (6_000, 1.0)


async def test_sleepers_wake_in_the_order_of_their_waking() -> None:
    clock = ManualClock()
    woken = list[tuple[str, float]]()

    async def sleeper(name: str, *naps: float) -> None:
        for nap in naps:
            await clock.sleep(nap)
            woken.append((name, clock.monotonic()))

    await asyncio.gather(sleeper("long", 5), sleeper("short", 1, 1, 4), sleeper("middle", 3), sleeper("same", 3))
    assert woken == [("short", 1), ("short", 2), ("middle", 3), ("same", 3), ("long", 5), ("short", 6)]


async def test_a_sleeper_that_is_cancelled_delays_no_other() -> None:
    clock = ManualClock()
    waiting = asyncio.create_task(clock.sleep(1))
    other = asyncio.create_task(clock.sleep(2))
    await asyncio.sleep(0)
    waiting.cancel()
    await other
    assert clock.monotonic() == 2
