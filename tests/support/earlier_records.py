"""Records as earlier versions of the schema have them: rows of every kind that the tables of that version can hold."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from dexexec.domain.sniper_conditions import SniperConditions
from dexexec.domain.token import USDC, WSOL
from dexexec.store.migrate import TABLE, migrations

CONFIRMED, FAILED, PENDING, SENT, ARCHIVED, RESTING, SNIPER, RECURRING, CANCELLED, DRY = (
    UUID(f"01a20375-9296-7c99-b5c0-{n:012x}") for n in range(10)
)
KEY = "the key of the order that waits"
FEE = 5000
"""Lamports, of each swap that landed."""
SIGNATURE = "3kF55ZhMv8NXHGwgvEbz2Nh9poKQQ5inZHgnKb79eUhtLXZkjancCAcC7rYP2KX6wJHQN2ZfPZnBzQGMXC2i73gK"
OPEN_SIGNATURE = "5VH2qUgTkZjancCAcC7rYP2KX6wJHQN2ZfPZnBzQGMXC2i73gK3kF55ZhMv8NXHGwgvEbz2Nh9poKQQ5inZHgnKb"
BEGUN, ENDED = "2026-01-02T03:04:05+00:00", "2026-01-02T03:04:06+00:00"
QUOTE = {
    "venue": "mock-meteora",
    "price": "151.2",
    "amountIn": "10000000",
    "amountOut": "1512000",
    "fee": "25",
    "feeMint": WSOL,
}
FILL = {"slot": 7, "fee": str(FEE), "amountIn": "10000000", "amountOut": "1511000"}
STAGES = ("pending", "routing", "building", "submitted", "confirmed")
TERMS = {
    "limit": {"limitPrice": "151", "timeInForce": "GTC"},
    "sniper": {"conditions": SniperConditions().detail()},
    "recurring": {"slices": 2, "every": "PT1M", "missed": "skip", "deadlineSeconds": 60},
}


@dataclass(frozen=True, slots=True)
class EarlierRecord:
    """Writes the rows that a schema can hold, as far as its tables and columns exist yet."""

    connection: psycopg.Connection[dict[str, Any]]
    columns: dict[str, set[str]] = field(default_factory=dict)

    def fill(self) -> list[UUID]:
        """Write orders in every state that the version has, with all that belongs to them. Returns their ids."""
        rows = self.connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = current_schema AND is_generated = 'NEVER'"
        )
        for row in rows:
            self.columns.setdefault(row["table_name"], set()).add(row["column_name"])
        if "owner" in self.columns["orders"]:
            self.write("api_keys", name="desk", scopes=["trade"])
            self.write("api_key_secrets", id="a", key_id=1, digest=b"\x01")
            self.write("halts", owner=1, reason="prices look wrong")
        stored = list(self._orders())
        self.write("workers", name="w", lease_until=ENDED)
        self.write("launches", pool="p", venue="here", mints=[USDC, WSOL], tokens="{}", slot=1, launched_at=BEGUN)
        self.write("policy_spending", order_id=CONFIRMED, owner=1, mint=WSOL, day=BEGUN, amount=10_000_000)
        self.write("oco_groups", name="exits", dry_run=False, filled_by=CONFIRMED)
        self.write("chain_comparisons", genesis="g", wallet="w")
        return stored

    def write(self, table: str, **values: object) -> bool:
        """Insert a row, without the columns that do not exist yet; False if the table does not."""
        known = self.columns.get(table)
        if known is None:
            return False
        names = [name for name in values if name in known]
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, names)),
            sql.SQL(", ").join(sql.Placeholder() * len(names)),
        )
        self.connection.execute(statement, [values[name] for name in names])
        return True

    def _orders(self) -> Iterator[UUID]:
        final = {"finished_at": ENDED, "finalized_at": ENDED}
        landed = {"venue": "mock-meteora", "tx_hash": SIGNATURE, "attempts": 1, "rounds": 1}
        filled = {"amount_in": 10_000_000, "amount_out": 1_511_000, "quoted_in": 10_000_000, "quoted_out": 1_512_000}
        yield self._order(CONFIRMED, STAGES, **final, **landed, **filled, min_out=1_500_000, bound_open=False, owner=1)
        self._attempt(CONFIRMED, SIGNATURE, outcome="landed", resolved_at=ENDED, proof=json.dumps(FILL))
        for order_id in (CONFIRMED, ARCHIVED):
            cost = {"order_id": order_id, "n": 1, "at": ENDED, "venue": "mock-meteora", "landed": True, "fee": FEE}
            self.write("attempt_costs", **cost)
        self.write(
            "simulated_swaps", signature=SIGNATURE, payload=b"\x01", sent_height=1, lands_at_ms=1, last_valid_height=9,
            valid_until_ms=9, lost=False,
        )  # fmt: skip
        yield self._order(FAILED, ("pending", "failed"), finished_at=ENDED, failure_reason="no-route")
        yield self._order(PENDING, ("pending",))
        self.write("idempotency_keys", key=KEY, body_hash=b"\x01", order_id=PENDING)
        yield self._order(SENT, STAGES[:4], venue="mock-meteora", tx_hash=OPEN_SIGNATURE, attempts=1, rounds=1)
        self._attempt(SENT, OPEN_SIGNATURE)
        if "archived_orders" in self.columns:
            yield self._archived()
        if "resting" in self.columns["orders"]:
            for order_id, kind in ((RESTING, "limit"), (SNIPER, "sniper"), (RECURRING, "recurring")):
                rests = {"resting": True, "terms": json.dumps(TERMS[kind]), "rested_xid": "3"}
                yield self._order(order_id, ("pending", "waiting"), type=kind, **rests)
            yield self._order(CANCELLED, ("pending", "cancelled"), finished_at=ENDED, tag="grid-7")
            yield self._order(DRY, ("pending", "failed"), finished_at=ENDED, dry_run=True, failure_reason="no-route")

    def _order(self, order_id: UUID, stages: tuple[str, ...], **values: object) -> UUID:
        self.write("orders", **self._columns_of(order_id, stages), deadline_at="2126-01-01T00:00:00Z", **values)
        for seq, status in enumerate(stages, 1):
            self.write("order_events", order_id=order_id, seq=seq, status=status, at=BEGUN, detail=_detail(status))
        return order_id

    def _archived(self) -> UUID:
        events = [
            {
                "order_id": str(ARCHIVED),
                "seq": seq,
                "status": status,
                "at": BEGUN,
                "detail": json.loads(_detail(status)),
            }
            for seq, status in enumerate(STAGES, 1)
        ]
        tries = [
            {"order_id": str(ARCHIVED), "n": 1, "venue": "mock-meteora", "signature": "old", "payload": "\\x01",
             "last_valid_height": 9, "quote": QUOTE, "created_at": BEGUN, "outcome": "landed", "resolved_at": ENDED,
             "proof": FILL}
        ]  # fmt: skip
        self.connection.execute(
            "CREATE TABLE archived_orders_20260102 PARTITION OF archived_orders"
            " FOR VALUES FROM ('2026-01-02 00:00Z') TO ('2026-01-03 00:00Z')"
        )
        self.write(
            "archived_orders", **self._columns_of(ARCHIVED, STAGES), deadline_at=ENDED, rounds=1, attempts=1,
            finished_at=ENDED, finalized_at=ENDED, amount_in=10_000_000, amount_out=1_511_000, tx_hash="old",
            venue="mock-meteora", events=json.dumps(events), tries=json.dumps(tries),
        )  # fmt: skip
        return ARCHIVED

    @staticmethod
    def _columns_of(order_id: UUID, stages: tuple[str, ...]) -> dict[str, object]:
        return {
            "id": order_id,
            "side": "buy",
            "amount": "0.01",
            "status": stages[-1],
            "created_at": BEGUN,
            "mode": "exactIn",
            "input_mint": WSOL,
            "output_mint": USDC,
            "amount_base": 10_000_000,
            "slippage_bps": 50,
            "client": "127.0.0.1",
            "version": len(stages),
        }

    def _attempt(self, order_id: UUID, signature: str, **values: object) -> None:
        row = {"order_id": order_id, "n": 1, "venue": "mock-meteora", "signature": signature, "payload": b"\x01\x02"}
        self.write("attempts", **row, last_valid_height=1000, quote=json.dumps(QUOTE), created_at=BEGUN, **values)


def _detail(status: str) -> str:
    about = {"confirmed": {"price": "151.1", "networkFee": "5000"}, "failed": {"reason": "no-route"}}.get(status, {})
    return json.dumps({"venue": "mock-meteora", **about} if status in STAGES[2:] else about)


def make_earlier_record(conninfo: str, schema: str, level: int) -> list[UUID]:
    """Make a schema with the first `level` migrations, and fill it. Returns the ids of its orders."""
    with psycopg.connect(conninfo, row_factory=dict_row) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        connection.execute(sql.SQL("SET search_path = {}").format(sql.Identifier(schema)))
        connection.execute(TABLE.encode())
        for name, text in migrations()[:level]:
            connection.execute(text.encode())
            connection.execute("INSERT INTO schema_migrations (name) VALUES (%s)", (name,))
        return EarlierRecord(connection).fill()
