"""What an operator sees of orders: one line for each that failed, and none for those that went well."""

from uuid import UUID

from structlog.testing import CapturingLogger

from dexexec.observe.observer import Observer

ORDER = UUID(int=7)


def test_a_failed_order_is_one_line_with_its_reason_and_a_filled_one_has_no_line() -> None:
    log = CapturingLogger()
    observer = Observer(log)
    observer.order_failed(ORDER, "expired", "no-route", "no venue has a pool for this pair", 1.23456)
    observer.order_filled(ORDER, "mock-raydium", 0.5)
    failed, filled = log.calls
    assert (failed.method_name, failed.args) == ("info", ("order failed",))
    assert failed.kwargs == {
        "order": str(ORDER),
        "status": "expired",
        "reason": "no-route",
        "detail": "no venue has a pool for this pair",
        "s": 1.235,
    }
    assert filled.method_name == "debug"
