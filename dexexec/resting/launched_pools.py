"""The pools of one pair that were reported: checked, bounded, and compared with what the record has."""

from collections.abc import Sequence

from dexexec.domain.launch import NewPool
from dexexec.domain.order import U64_MAX

MAX_POOLS = 64
"""Pools of a pair that are kept, the deepest. Anybody can create pools, and each costs a row and an event."""
MOST_DECIMALS = 255
MOST_FEE_BPS = 65_535
LATEST_MS = 253_402_300_799_000
"""The end of the year 9999, the last that Postgres' clients can read."""


def problem_of(pool: NewPool, venue: str, pair: tuple[str, str]) -> str:
    """Why a report cannot be right; empty if it can. An adapter may have mistakes, and what it reports is stored."""
    if pool.venue != venue or set(pool.mints) != set(pair) or not pool.address:
        return f"it is of {pool.venue} and {pool.mints}"
    numbers = [("slot", pool.slot, 2**63 - 1), ("launched_at_ms", pool.launched_at_ms, LATEST_MS)]
    for token in pool.tokens:
        numbers += [
            ("reserve", token.reserve, U64_MAX),
            ("decimals", token.decimals, MOST_DECIMALS),
            ("transfer_fee_bps", token.transfer_fee_bps, MOST_FEE_BPS),
        ]
    wrong = [f"{name} is {number!r}" for name, number, most in numbers if type(number) is not int or number > most]
    # A pool that opened before 1970 is as old as any order's limit could ask for, so only amounts must be positive.
    wrong += [f"{name} is {number}" for name, number, _ in numbers if type(number) is int and number < 0]
    return ", ".join(wrong)


class LaunchedPools:
    """The pools of a pair, by address. `spent` is the mint whose reserve measures depth."""

    def __init__(self, spent: str) -> None:
        self._spent = spent
        self._pools: dict[str, NewPool] = {}
        self._unrecorded: dict[str, NewPool] = {}

    def __len__(self) -> int:
        return len(self._pools)

    @property
    def by_address(self) -> dict[str, NewPool]:
        """All pools that are kept."""
        return self._pools

    def put(self, pool: NewPool) -> bool:
        """Add a pool or what it is like now; returns whether it is kept."""
        self._pools[pool.address] = pool
        # The shallowest goes, not the oldest: worthless pools must not push out a good one.
        if len(self._pools) > MAX_POOLS:
            shallowest = min(self._pools.values(), key=lambda one: (one.token(self._spent).reserve, one.address))
            del self._pools[shallowest.address]
            self._unrecorded.pop(shallowest.address, None)
        if pool.address not in self._pools:
            return False
        self._unrecorded[pool.address] = pool
        return True

    def unrecorded(self) -> Sequence[NewPool]:
        """The pools that the record does not have as they are now."""
        return list(self._unrecorded.values())

    def recorded(self, pools: Sequence[NewPool]) -> None:
        """The record has these pools now."""
        for pool in pools:
            # Another report may have come while it was written.
            if self._unrecorded.get(pool.address) == pool:
                del self._unrecorded[pool.address]

    def next_opening_ms(self, now_ms: int) -> int | None:
        """When the next pool opens that has not opened yet; None if there is none."""
        return min((pool.launched_at_ms for pool in self._pools.values() if pool.launched_at_ms > now_ms), default=None)
