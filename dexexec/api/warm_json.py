"""The watched pools and chains as JSON, for `GET /api/venues`. Empty texts become null."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dexexec.settlement.solana.warm.report import WarmPool, WarmReport


class WarmSource(Protocol):
    """What this process keeps in memory of pools and chains."""

    def pools(self, name: str) -> "Sequence[WarmPool]":
        """The known pools of a venue; none if its chain is not watched."""

    def chains(self) -> "Mapping[str, WarmReport]":
        """The watched state of each chain, by network."""


def pools_json(pools: "Sequence[WarmPool]") -> list[dict[str, object]]:
    """The pools of a venue, the cold ones first: they are what an operator looks for."""
    # By address within each kind, so that a table that is watched does not jump.
    ordered = sorted(pools, key=lambda pool: (not pool.cold, pool.address))
    return [
        {
            "address": pool.address,
            "warm": not pool.cold,
            "cold": pool.cold or None,
            "accounts": pool.accounts,
            "ageSlots": pool.age_slots,
            "notificationsPerSecond": round(pool.notifications_per_second, 2),
            "bytes": pool.bytes,
        }
        for pool in ordered
    ]


def chain_json(network: str, report: "WarmReport") -> dict[str, object]:
    """The watched state of a chain."""
    return {
        "network": network,
        "warm": not report.cold,
        "cold": report.cold or None,
        "node": report.node or None,
        "slot": report.slot,
        "ageMs": None if report.age_seconds is None else round(report.age_seconds * 1000),
        "watched": report.watched,
        "limit": report.limit,
        "subscribed": report.subscribed,
        "refused": report.refused or None,
        "notificationsPerSecond": round(report.notifications_per_second, 2),
        "bytes": report.bytes,
        "fromMemory": report.from_memory,
        "fromNode": report.from_node,
        "gaps": report.gaps,
        "lastGap": report.last_gap or None,
    }
