"""What the statements of `dexexec.store.launches` do to the rows, in memory."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from dexexec.domain.launch import NewPool
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType
from dexexec.store import NotedStop, RestingOrder, SniperPair
from dexexec.store.launches import PAGE

if TYPE_CHECKING:
    from tests.support.fakes.database import MemoryDatabase


def sniper_pairs(database: "MemoryDatabase") -> list[SniperPair]:
    """The pairs that resting snipers wait for, with the newest change of each."""
    newest: dict[tuple[str, str], int] = {}
    for row in database.orders.values():
        if row.resting and row.new.type is OrderType.SNIPER:
            pair = row.new.input_mint, row.new.output_mint
            newest[pair] = max(newest.get(pair, 0), row.rested_at)
    return [SniperPair(spent, wanted, newest[spent, wanted]) for spent, wanted in sorted(newest, reverse=True)]


def snipers(database: "MemoryDatabase", pair: tuple[str, str], behind: tuple[datetime, UUID]) -> list[RestingOrder]:
    """A page of the snipers of a pair, oldest first."""
    page = [
        order
        for order in database.rested_page(behind)
        if order.type is OrderType.SNIPER and (order.input_mint, order.output_mint) == pair
    ]
    return page[:PAGE]


def record_launches(database: "MemoryDatabase", pools: Sequence[NewPool]) -> None:
    """Record pools; an older reading changes nothing."""
    for pool in pools:
        known = database.launches.get(pool.address)
        if known is None or (known.slot <= pool.slot and known.venue == pool.venue):
            database.launches[pool.address] = pool


def launches_of(database: "MemoryDatabase", mints: tuple[str, str]) -> list[NewPool]:
    """The recorded pools of two mints."""
    return [pool for pool in database.launches.values() if sorted(pool.mints) == sorted(mints)]


def noted_stops(database: "MemoryDatabase", order_ids: Sequence[UUID]) -> list[NotedStop]:
    """What the events of these orders have of pools that stopped them, the latest last."""
    found = []
    for order_id in sorted(order_ids):
        for event in database.orders[order_id].events:
            detail = event.detail
            if event.status is Status.WAITING and "pool" in detail:
                condition = str(detail["condition"]) if "condition" in detail else None
                figure = str(detail.get("seen") or detail.get("reason") or "")
                found.append(NotedStop(order_id, str(detail["pool"]), condition, figure))
    return found
