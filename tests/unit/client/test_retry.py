"""Pauses between tries, and the end of trying."""

import random

from dexexec.client.retry import LONGEST_LIMIT, Tries, pause


def test_a_pause_is_between_nothing_and_a_limit_that_doubles() -> None:
    assert [pause(n, lambda: 1.0) for n in (1, 2, 3, 5, 6, 10**9)] == [0.2, 0.4, 0.8, 3.2, LONGEST_LIMIT, LONGEST_LIMIT]
    assert pause(6, lambda: 0.0) == 0.0
    assert pause(1, lambda: 0.5, at_least=2.0) == 2.1


def test_clients_that_fail_together_do_not_come_back_together() -> None:
    chance = random.Random(1)
    pauses = sorted(pause(6, chance.random) for _ in range(1_000))
    assert pauses[0] < 0.05
    assert pauses[-1] > 4.9
    assert 2.3 < pauses[500] < 2.7, "spread evenly"


def test_nothing_is_tried_after_the_deadline() -> None:
    tries = Tries(deadline=10.0, random=lambda: 1.0)
    assert tries.next_at(1.0) == 1.2
    assert tries.next_at(2.0, retry_after=5.0) == 7.4
    assert tries.next_at(9.5) is None
    assert Tries(deadline=10.0, random=lambda: 0.0, least_seconds=1.0).next_at(9.0) is None
    assert Tries(deadline=10.0, random=lambda: 0.0, least_seconds=1.0).next_at(8.9) == 8.9
    assert Tries(deadline=1.0, random=lambda: 0.0).next_at(0.0, retry_after=1.0) is None
