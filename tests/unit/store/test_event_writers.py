"""Every statement that writes events gives them positions that follow those of the order's earlier events."""

import re
from pathlib import Path

STORE = Path(__file__).parents[3] / "dexexec" / "store"
FIRST = {"orders.py", "child_orders.py"}
"""They write an order's first events."""
FENCED = {"step_writes.py", "resting.py", "resting_marks.py", "amendments.py"}
"""They name the version that they continue, which was read before their transaction began: so its number is higher
than that of the transaction that wrote the version, and the column's default is right."""
INSERT = re.compile(r"INSERT INTO order_events \((?P<columns>[^)]*)\)(?P<rest>.*?)(?=\n\)|\"\"\")", re.DOTALL)


def test_every_writer_of_events_is_first_or_fenced_or_asks_for_the_position_behind_the_orders_last_event() -> None:
    written = {
        path.name: found for path in sorted(STORE.glob("*.py")) if (found := list(INSERT.finditer(path.read_text())))
    }
    assert written.keys() >= FIRST | FENCED
    for name, statements in written.items():
        for statement in statements:
            by_default = "position" not in statement["columns"]
            assert by_default == (name in FIRST | FENCED), name
            assert by_default or "event_position(" in statement["rest"], name


def test_a_fenced_writer_compares_the_version_in_the_statement_that_writes() -> None:
    for name in FENCED:
        assert re.search(r"o\.version = (t\.version|%\(version\)s)|t\.version = o\.version", (STORE / name).read_text())
