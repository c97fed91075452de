"""`dexexec paper` on real Postgres: dry runs of both tables count once, and nothing else does."""

import io
import json
from argparse import Namespace
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from dexexec.bootstrap.servers import Servers
from dexexec.cli import paper
from dexexec.domain.order import Side
from dexexec.domain.quote import Fill
from dexexec.domain.status import Status
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.store import Address, ArchiveSession, Store, connect
from tests.support.parts import new_order, open_database, open_store
from tests.support.prepared_orders import ROUTED, claimed_by, step

SOL, DOLLAR = 10**9, 10**6


async def command(address: Address, tag: str | None = None, since: datetime = paper.THE_BEGINNING) -> Any:
    """What the command prints as JSON."""
    out = io.StringIO()
    options = Namespace(tag=tag, since=since, json=True)
    assert await paper.run(options, Servers(address, "", ()), Tokens(KNOWN), out) == 0
    return json.loads(out.getvalue())


async def ended(store: Store, tag: str | None, side: Side, fill: tuple[int, int] | None, *, dry: bool = True) -> UUID:
    """An order that has ended: simulated with a fill, or failed without one."""
    worker = await store.begin("w", 20)
    order = replace(new_order(side=side), tag=tag, dry_run=dry)
    claimed = await claimed_by(store, worker, (await store.create(order)).order_id)
    await store.advance(step(claimed, 1, *ROUTED))
    if fill is None:
        last = step(claimed, 3, (Status.FAILED, {"reason": "no-route"}), reason="no-route", final=True)
    else:
        detail = {"networkFee": "5000", "venueFee": "3", "venueFeeMint": WSOL}
        last = step(claimed, 3, (Status.SIMULATED, detail), fill=Fill(*fill, 5_000, 1), final=True)
    assert await store.advance(last)
    await worker.end()
    return order.id


async def test_dry_runs_are_summed_by_tag_pair_and_side(database_address: Address) -> None:
    async with open_store(database_address) as store:
        assert await command(database_address) == {"lines": [], "net": []}
        await ended(store, "a", Side.BUY, (SOL, 150 * DOLLAR))
        async with open_database(database_address) as database, ArchiveSession.begin(database, 30) as session:
            assert session is not None
            assert await session.archive(rest=timedelta(0)), "the first is in the archive now"
        await ended(store, "a", Side.BUY, (3 * SOL, 456 * DOLLAR))
        await ended(store, "a", Side.BUY, None)
        await ended(store, "a", Side.SELL, (160 * DOLLAR, SOL))
        await ended(store, None, Side.BUY, (SOL, 151 * DOLLAR))
        await ended(store, "a", Side.BUY, None, dry=False)
        await store.create(replace(new_order(), tag="a", dry_run=True))  # not ended
        parent = await ended(store, "a", Side.BUY, (SOL, 150 * DOLLAR))
        with connect(database_address) as connection:
            connection.execute("UPDATE orders SET type = 'recurring' WHERE id = %s", (parent,))

        found = await command(database_address)
        assert [(line["tag"], line["side"]) for line in found["lines"]] == [("a", "buy"), ("a", "sell"), (None, "buy")]
        bought, sold, _ = found["lines"]
        assert (bought["orders"], bought["simulated"], bought["failed"]) == (3, 2, 1)
        assert (bought["amountIn"], bought["amountOut"]) == (str(4 * SOL), str(606 * DOLLAR))
        assert (bought["averagePrice"], sold["averagePrice"]) == ("151.5", "160")
        assert (bought["networkFee"], bought["venueFees"]) == ("10000", {WSOL: "6", USDC: "0"})
        assert sold["venueFees"] == {USDC: "0", WSOL: "3"}
        assert found["net"][0] == {
            "tag": "a",
            "changes": {WSOL: str(-3 * SOL), USDC: str(446 * DOLLAR)},
            "networkFee": "15000",
        }
        assert [line["side"] for line in (await command(database_address, "a"))["lines"]] == ["buy", "sell"]
        assert (await command(database_address, "other"))["lines"] == []
        later = datetime.now(UTC) + timedelta(days=1)
        assert (await command(database_address, since=later))["lines"] == []
