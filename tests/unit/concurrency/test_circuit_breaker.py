"""The breaker: open after so many failures in a row, half-open for one request, and it remembers why."""

from dexexec.concurrency.circuit_breaker import Breaker, State


class BreakerSetup:
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
    setup = BreakerSetup()
    setup.fail(2)
    assert setup.breaker.enter()
    setup.breaker.succeeded()
    setup.fail(2)
    assert setup.moves == []
    setup.fail(1)
    assert setup.moves == [State.OPEN]
    assert not setup.breaker.enter()


def test_it_reports_how_long_it_stays_open_and_the_cause() -> None:
    setup = BreakerSetup()
    setup.fail(2, "slow")
    setup.fail(1, "gone")
    assert setup.breaker.remaining_seconds() == 5.0
    setup.now += 2
    assert setup.breaker.remaining_seconds() == 3.0
    assert setup.breaker.cause == ("unreachable", "gone")


def test_half_open_lets_one_request_through_and_its_success_closes() -> None:
    setup = BreakerSetup()
    setup.fail(3)
    setup.now += 5
    assert [setup.breaker.enter() for _ in range(4)] == [True, False, False, False]
    assert setup.breaker.remaining_seconds() == 0.0
    setup.breaker.succeeded()
    assert setup.moves == [State.OPEN, State.HALF_OPEN, State.CLOSED]
    assert setup.breaker.enter()


def test_a_failed_probe_opens_it_again_at_once() -> None:
    setup = BreakerSetup()
    setup.fail(3)
    setup.now += 5
    setup.fail(1)
    assert setup.moves[-1] is State.OPEN
    assert setup.breaker.remaining_seconds() == 5.0


def test_a_probe_without_a_result_lets_the_next_one_probe() -> None:
    setup = BreakerSetup()
    setup.fail(3)
    setup.now += 5
    assert setup.breaker.enter()
    setup.breaker.abandoned()
    assert setup.breaker.enter()


def test_failures_that_began_before_it_opened_do_not_keep_it_open_for_longer() -> None:
    setup = BreakerSetup()
    for _ in range(10):
        assert setup.breaker.enter()
    for _ in range(3):
        setup.breaker.failed("unreachable", "away")
    setup.now += 4
    for _ in range(7):
        setup.breaker.failed("unreachable", "away")
    assert setup.breaker.remaining_seconds() == 1.0
