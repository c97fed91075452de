"""The demo's judgement: what is a fault, what a run adds up to, and how it reads."""

import io
from collections.abc import Mapping, Sequence
from itertools import count

import pytest
from rich.console import Console

from dexexec.cli.main import parser
from dexexec.demo.client import check_url
from dexexec.demo.order import DemoOrder, order_faults, plan, sequence_faults, summarize
from dexexec.demo.view import LiveView, PlainView, open_view, plain_line, summary_lines, table, window
from dexexec.domain.status import TERMINAL
from dexexec.errors import StartupError

LIFE = ("pending", "routing", "building", "submitted", "confirmed")
ENDS = {*TERMINAL, "confirmed"}
ID = "01234567-89ab-cdef-0123-456789abcdef"


def event(seq: int, status: str, **detail: object) -> dict[str, object]:
    return {"orderId": ID, "seq": seq, "status": status, "at": "x", "final": status in ENDS, **detail}


def followed(
    events: Sequence[dict[str, object]] | None = None, record: Mapping[str, object] | None = None, seconds: float = 2.0
) -> DemoOrder:
    """An order whose socket heard `events`. Unless a record is given, it holds the whole life of an order."""
    life = [event(n, status, venue="v") for n, status in enumerate(LIFE, 1)]
    order = DemoOrder(side="buy", amount="0.01", key="k", order_id=ID, posted_at=1.0, sockets=1)
    for one in life if events is None else events:
        assert order.add_event(one, 1.0 + seconds)
    order.record = {"status": "confirmed", "events": life} if record is None else record
    return order


def life(*seqs: int) -> list[dict[str, object]]:
    return [event(seq, LIFE[seq - 1], venue="v") for seq in seqs]


@pytest.mark.parametrize(
    ("seqs", "last", "faults"),
    [
        ([], 0, []),
        ([1, 2, 3], 3, []),
        ([1, 2, 3], 0, []),
        ([1, 3], 3, ["event 2 is missing"]),
        ([2, 3], 3, ["event 1 is missing"]),
        ([1, 2], 4, ["events 3, 4 are missing"]),
        ([], 2, ["events 1, 2 are missing"]),
        ([1, 2, 2, 3], 3, ["event 2 came twice"]),
        ([1, 3, 2], 3, ["event 2 came after event 3"]),
        ([1, 4, 2, 2], 4, ["event 2 came after event 4", "event 2 came twice", "event 3 is missing"]),
        ([20], 20, ["events 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 ... are missing"]),
    ],
)
def test_events_must_come_once_and_in_order_without_a_gap(seqs: list[int], last: int, faults: list[str]) -> None:
    assert sequence_faults(seqs, last) == faults


def test_an_order_that_ended_with_all_its_events_has_no_fault() -> None:
    assert order_faults(followed()) == []


def test_an_order_that_failed_has_no_fault_either() -> None:
    events = [event(1, "pending"), event(2, "failed", reason="no-route")]
    assert order_faults(followed(events, {"status": "failed", "events": events})) == []


def test_a_dry_run_that_was_simulated_has_no_fault_and_counts_for_its_venue() -> None:
    events = [event(1, "pending"), event(2, "routing"), event(3, "building"), event(4, "simulated", venue="v")]
    order = followed(events, {"status": "simulated", "events": events})
    assert order_faults(order) == []
    found = summarize([order])
    assert (found.statuses, found.reasons, found.venues) == ({"simulated": 1}, {}, {"v": 1})


def test_a_missing_event_is_a_fault() -> None:
    assert order_faults(followed(life(1, 2, 4, 5))) == ["event 3 is missing"]


def test_an_order_without_a_final_event_is_a_fault_although_its_record_has_ended() -> None:
    assert order_faults(followed(life(1, 2))) == ["has not ended: the last status on its socket was routing"]


def test_stored_events_after_the_final_one_are_missing() -> None:
    early = [*life(1), event(2, "failed")]
    record = {"status": "failed", "events": [*early, event(3, "failed")]}
    assert order_faults(followed(early, record)) == ["event 3 is missing"]


def test_an_event_that_the_record_lacks_is_a_fault() -> None:
    record = {"status": "confirmed", "events": life(1, 2, 3, 5)}
    assert order_faults(followed(record=record)) == ["event 4 is not in its record"]


def test_an_event_that_the_record_has_otherwise_is_a_fault() -> None:
    record = {"status": "confirmed", "events": [*life(1, 2, 3, 4), event(5, "confirmed", venue="another")]}
    assert order_faults(followed(record=record)) == ["event 5 differs from its record"]


def test_a_record_that_differs_from_its_events_is_a_fault() -> None:
    record = {"status": "failed", "events": life(1, 2, 3, 4, 5)}
    assert order_faults(followed(record=record)) == ["its record has the status failed, its socket received confirmed"]


def test_an_event_after_the_final_one_is_a_fault() -> None:
    events = [*life(1, 2, 3, 4, 5), event(6, "routing")]
    record = {"status": "routing", "events": events}
    assert order_faults(followed(events, record)) == ["an event came after the final one"]


def test_a_final_event_with_a_status_that_is_not_final_is_a_fault() -> None:
    events = [{**event(1, "routing"), "final": True}]
    record = {"status": "routing", "events": events}
    assert order_faults(followed(events, record)) == ["its final event has the status routing, which is not final"]


def test_a_record_that_cannot_be_read_is_a_fault() -> None:
    order = followed()
    order.record = None
    assert order_faults(order) == ["its record could not be read"]


def test_an_order_that_was_never_accepted_is_a_fault_with_the_reason() -> None:
    order = DemoOrder(side="buy", amount="0.01", key="k", note="503 busy")
    assert order_faults(order) == ["could not be posted in time: 503 busy"]
    order.given_up = "422 bad"
    assert order_faults(order) == ["422 bad"]
    assert order.status == "given up"


@pytest.mark.parametrize(
    "message",
    [
        {},
        {**event(1, "pending"), "orderId": "another"},
        {**event(1, "pending"), "seq": "1"},
        {**event(1, "pending"), "seq": True},
        event(1, "dancing"),
    ],
)
def test_a_message_that_is_not_an_event_of_the_order_is_refused(message: dict[str, object]) -> None:
    order = DemoOrder(side="buy", amount="0.01", key="k", order_id=ID)
    assert not order.add_event(message, 1.0)
    assert order.events == []


def test_a_resumed_socket_subscribes_after_the_highest_seq() -> None:
    assert DemoOrder(side="buy", amount="0.01", key="k", order_id=ID).last_seq == 0
    assert followed(life(1, 2, 3)).last_seq == 3


def test_a_summary_adds_up_and_a_run_without_faults_exits_with_0() -> None:
    failed = [event(1, "pending"), event(2, "failed", reason="slippage")]
    orders = [followed(seconds=1), followed(seconds=2), followed(failed, {"status": "failed", "events": failed}, 9)]
    orders[0].sockets = 3
    found = summarize(orders)
    assert found.exit_code == 0
    assert found.statuses == {"confirmed": 2, "failed": 1}
    assert found.reasons == {"slippage": 1}
    assert found.venues == {"v": 2}
    assert (found.seconds, found.confirmed_seconds) == ([1, 2, 9], ())
    assert (found.events, found.sockets, found.reconnects) == (12, 3, 2)
    text = "\n".join(summary_lines(found))
    assert "3: 2 confirmed, 1 failed (reasons: slippage 1)" in text
    assert "p50 2.00 s, max 9.00 s, from POST to the final event" in text
    assert "from POST to `confirmed`" not in text
    assert "12 received; sockets: 3, reconnects: 2" in text
    assert "each socket received every event once" in text


def test_one_fault_makes_the_exit_code_1_and_names_the_orders() -> None:
    found = summarize([followed(), *[followed(life(1, 2, 4, 5)) for _ in range(7)]])
    assert found.exit_code == 1
    assert "  89abcdef, 89abcdef, 89abcdef, 89abcdef, 89abcdef and 2 more: event 3 is missing" in summary_lines(found)


def test_a_transaction_that_was_confirmed_before_it_was_final_is_real_and_can_be_looked_up() -> None:
    early = {"txHash": "5VH2qUgT1234", "final": False}
    heard = [*life(1, 2, 3, 4), event(5, "confirmed") | early]
    order = followed(heard)
    assert not order.ended
    assert plain_line(order).endswith("tx 5VH2qUgT..., not final yet")
    assert order.add_event(event(6, "confirmed"), 4.0)
    assert plain_line(order).endswith("tx 5VH2qUgT...")
    found = summarize([followed(), order])
    assert found.signature == "5VH2qUgT1234"
    lines = summary_lines(found)
    assert "Time     p50 2.00 s, max 2.00 s, from POST to `confirmed`" in "\n".join(lines)
    assert "         p50 2.50 s, max 3.00 s, from POST to the final event" in "\n".join(lines)
    [command] = [line for line in lines if "curl" in line]
    assert '"method": "getTransaction", "params": ["5VH2qUgT1234", {' in command
    assert summarize([followed()]).signature == ""


def test_orders_that_were_filled_by_slices_are_not_reported_as_unfilled() -> None:
    parent = followed([event(1, "pending"), event(2, "waiting"), event(3, "confirmed", price="150")])
    assert "Venues   those of the slices" in summary_lines(summarize([parent]))
    unfilled = followed([event(1, "pending"), event(2, "failed", reason="slippage")])
    assert "Venues   no fill" in summary_lines(summarize([unfilled]))


def test_a_run_without_a_finished_order_has_a_summary() -> None:
    found = summarize([DemoOrder(side="buy", amount="0.01", key="k", given_up="503 busy, 15 times")])
    assert found.exit_code == 1
    text = "\n".join(summary_lines(found))
    assert "1: 0 confirmed, 0 failed, 1 given up" in text
    assert "nothing ended" in text
    assert "buy 0.01: 503 busy, 15 times" in text


def test_planned_orders_alternate_and_each_has_a_key_of_its_own() -> None:
    orders = plan(20, map(str, count()))
    assert len({order.key for order in orders}) == 20
    assert [order.side for order in orders] == ["buy", "sell"] * 10
    assert len({(order.side, order.amount) for order in orders}) == 8


def test_a_plain_line_has_all_known_fields() -> None:
    order = followed([*life(1), event(2, "submitted", venue="mock-meteora", price="150.4", txHash="abcdefghijkl")])
    assert plain_line(order) == "89abcdef  buy    0.01  submitted  mock-meteora   150.4        tx abcdefgh..."
    order.add_event(event(3, "failed", reason="slippage", detail="too\nlate\x1b[2J"), 2.0)
    assert plain_line(order).endswith("failed     mock-meteora   150.4        slippage: too late [2J")


def test_a_plain_view_writes_whole_lines_without_control_codes() -> None:
    out = io.StringIO()
    order = followed()
    with open_view(out, [order], lambda: 3.0) as view:
        assert isinstance(view, PlainView)
        view.changed(order)
        view.refresh()
        view.say("done")
    assert out.getvalue() == "   0.00 s  89abcdef  buy    0.01  confirmed  v\ndone\n"


def test_colours_that_the_environment_forces_do_not_reach_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert isinstance(open_view(io.StringIO(), [], lambda: 0.0), PlainView)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_live_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    order = followed([])
    with open_view(out, [order], lambda: 3.0) as view:
        assert isinstance(view, LiveView)
        for one in life(1, 2):
            order.add_event(one, 2.0)
        view.refresh()
    assert "routing" in out.getvalue()
    assert out.getvalue().rstrip().endswith("\x1b[?25h"), "the cursor is shown again"


def test_a_terminal_without_cursor_control_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(open_view(Terminal(), [], lambda: 0.0), PlainView)


def rendered(orders: Sequence[DemoOrder], rows: int, width: int = 80) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(table(orders, rows, now=5.0))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_the_table_fits_80_columns_and_cuts_no_cell_that_matters() -> None:
    event_5 = event(5, "confirmed", venue="mock-meteora", price="150.4403219", txHash="abcdefghijkl")
    head, row, foot = rendered([followed([*life(1, 2, 3, 4), event_5], seconds=1.5)], rows=5)
    assert head == "Order    Side Amount Status    Venue            Price  Elapsed Tx / reason"
    assert row == "89abcdef buy    0.01 confirmed mock-meteora 150.44032   1.50 s tx abcdefgh..."
    assert foot == "1 of 1 ended, 0 under way"


def test_time_runs_on_while_an_order_is_under_way() -> None:
    assert "4.00 s" in rendered([followed(life(1, 2))], rows=5)[1]


def test_a_table_with_too_many_orders_shows_those_under_way_first() -> None:
    waiting = [DemoOrder(side="buy", amount="1", key="w") for _ in range(3)]
    ended = [followed(seconds=seconds) for seconds in (1.0, 3.0, 2.0)]
    live = [followed(life(1, 2)) for _ in range(2)]
    orders = [*waiting, *ended, *live]
    assert window(orders, 2) == live
    assert window(orders, 4) == [ended[1], ended[2], *live]
    assert window(orders, 6) == [waiting[0], *ended, *live]
    assert window(orders, 8) == orders
    assert rendered(orders, rows=4)[-1] == "3 of 8 ended, 2 under way; 4 not shown"


@pytest.mark.parametrize("url", ["", "localhost:3000", "ftp://localhost", "http://", "http://h:99999", "http://[::1"])
def test_an_invalid_url_is_refused_in_one_line(url: str) -> None:
    with pytest.raises(StartupError, match="--url must look like") as caught:
        check_url(url)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:3000", "https://dex.example/behind/a/proxy", "http://[::1]:3000"])
def test_a_url_may_be_any_that_http_has(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    "arguments", [["--orders", "0"], ["--orders", "5001"], ["--orders", "x"], ["--timeout", "0"], ["--timeout", "nan"]]
)
def test_options_out_of_range_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parser().parse_args(["demo", *arguments])
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err
