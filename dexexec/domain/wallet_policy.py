"""The policies of wallets: limits for the orders of all keys that a wallet pays for. Pure.

They are those of keys, as far as they are about orders, and counted in the same way: under a number.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar
from zlib import crc32

from dexexec.domain.policy import Policy
from dexexec.domain.policy_check import DEFAULT_WALLET

T = TypeVar("T")

OF_KEYS_ONLY = ("requestsPerSecond", "openOrders", "sockets", "wallets")
"""Limits that a wallet cannot have."""


@dataclass(frozen=True, slots=True)
class WalletPolicies:
    """The policies of the wallets that have one, by the wallet's name."""

    by_name: Mapping[str, Policy] = field(default_factory=dict)

    def of(self, wallet: str | None) -> Policy | None:
        """The policy of a wallet (None: the default one), if it has any."""
        return self.by_name.get(wallet or DEFAULT_WALLET)

    def numbered(self, wallet: str | None) -> dict[int, Policy]:
        """The policy of a wallet under its number; empty if it has none."""
        policy = self.of(wallet)
        return {} if policy is None else {wallet_number(wallet or DEFAULT_WALLET): policy}


NO_WALLET_POLICIES = WalletPolicies()


def wallet_number(name: str) -> int:
    """The number under which the orders of a wallet are counted, the same in every process: negative, since the numbers
    of keys are positive."""
    # Of 31 bits, so that it fits the column. The settings refuse two names with one number.
    return -1 - (crc32(name.encode()) >> 1)


def tightest(one: Policy, other: Policy) -> Policy:
    """The policy that allows what both allow to a single order."""
    return replace(
        one,
        max_per_order=_least(one.max_per_order, other.max_per_order),
        max_per_day=_least(one.max_per_day, other.max_per_day),
        mints=_both(one.mints, other.mints),
        venues=_both(one.venues, other.venues),
        kinds=_both(one.kinds, other.kinds),
        max_slippage_bps=_lower(one.max_slippage_bps, other.max_slippage_bps),
        max_price_impact_bps=_lower(one.max_price_impact_bps, other.max_price_impact_bps),
    )


def _least(one: Mapping[str, int], other: Mapping[str, int]) -> Mapping[str, int]:
    return {mint: min(limits[mint] for limits in (one, other) if mint in limits) for mint in one.keys() | other.keys()}


def _both(one: frozenset[T] | None, other: frozenset[T] | None) -> frozenset[T] | None:
    if one is None or other is None:
        return one if other is None else other
    return one & other


def _lower(one: int | None, other: int | None) -> int | None:
    return min((limit for limit in (one, other) if limit is not None), default=None)
