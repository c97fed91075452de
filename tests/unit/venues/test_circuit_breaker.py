"""The breaker: open after so many failures in a row, half-open for one request, and it remembers why."""

from dexexec.venues.circuit_breaker import Breaker, State


class Scene:
    """A breaker that opens after three failures for five seconds, under a frozen clock."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.moves: list[State] = []
        self.breaker = Breaker(3, 5.0, lambda: self.now, self.moves.append)

    def fail(self, times: int, detail: str = "away") -> None:
        """So many requests, each of which fails."""
        for _ in range(times):
            assert self.breaker.enter()
            self.breaker.failed("unreachable", detail)


def test_it_opens_after_so_many_failures_in_a_row_and_not_before() -> None:
    scene = Scene()
    scene.fail(2)
    assert scene.breaker.enter()
    scene.breaker.succeeded()
    scene.fail(2)
    assert scene.moves == []
    scene.fail(1)
    assert scene.moves == [State.OPEN]
    assert not scene.breaker.enter()


def test_it_reports_for_how_long_it_rests_and_what_opened_it() -> None:
    scene = Scene()
    scene.fail(2, "slow")
    scene.fail(1, "gone")
    assert scene.breaker.remaining_seconds() == 5.0
    scene.now += 2
    assert scene.breaker.remaining_seconds() == 3.0
    assert scene.breaker.cause == ("unreachable", "gone")


def test_half_open_lets_one_request_through_and_its_success_closes() -> None:
    scene = Scene()
    scene.fail(3)
    scene.now += 5
    assert [scene.breaker.enter() for _ in range(4)] == [True, False, False, False]
    assert scene.breaker.remaining_seconds() == 0.0
    scene.breaker.succeeded()
    assert scene.moves == [State.OPEN, State.HALF_OPEN, State.CLOSED]
    assert scene.breaker.enter()


def test_a_failed_probe_opens_it_again_at_once() -> None:
    scene = Scene()
    scene.fail(3)
    scene.now += 5
    scene.fail(1)
    assert scene.moves[-1] is State.OPEN
    assert scene.breaker.remaining_seconds() == 5.0


def test_a_probe_without_a_result_lets_the_next_one_probe() -> None:
    scene = Scene()
    scene.fail(3)
    scene.now += 5
    assert scene.breaker.enter()
    scene.breaker.abandoned()
    assert scene.breaker.enter()


def test_failures_that_began_before_it_opened_do_not_keep_it_open_for_longer() -> None:
    scene = Scene()
    for _ in range(10):
        assert scene.breaker.enter()
    for _ in range(3):
        scene.breaker.failed("unreachable", "away")
    scene.now += 4
    for _ in range(7):
        scene.breaker.failed("unreachable", "away")
    assert scene.breaker.remaining_seconds() == 1.0
