"""The policies of keys for workers, at most a second old, so that an order is not built in vain.

What is read here saves work: the statement that records an attempt reads the policy again and decides.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from dexexec.clock import Clock
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.order import Order
from dexexec.domain.policy import NO_LIMITS, Policy
from dexexec.domain.policy_check import Breach, attempted_trade, breaches, unreadable_breach
from dexexec.domain.quote import Quote
from dexexec.domain.wallet_policy import NO_WALLET_POLICIES, WalletPolicies, tightest
from dexexec.venues.router import Routing

FRESH_SECONDS = 1.0
MOST_OWNERS = 10_000
"""Policies that are kept at most. More keys than this with orders in one second are read more often."""


class PolicyRecord(Protocol):
    """The part of `dexexec.store.Store` that is used here."""

    async def policies(self, owners: Sequence[int]) -> dict[int, Policy | None]:
        """The policies of those keys that have one; None for one that cannot be read. Raises `UnavailableError`."""


class OwnerLimits:
    """The limits of an order's key while the order is executed."""

    def __init__(self, policy: Policy | None) -> None:
        """`policy` is None if it cannot be read: then nothing is allowed."""
        self._policy = policy

    def and_of(self, wallet: Policy) -> "OwnerLimits":
        """These limits together with those of a wallet."""
        return OwnerLimits(None if self._policy is None else tightest(self._policy, wallet))

    @property
    def venues(self) -> frozenset[str] | None:
        """The venues that may be queried; None: all."""
        return None if self._policy is None else self._policy.venues

    def tightened(self, order: Order, max_price_impact_bps: int) -> Order:
        """The order with a limit of its price impact that is at least as tight as the policy's.
        `max_price_impact_bps` is for orders that set none."""
        limit = self._policy.max_price_impact_bps if self._policy else None
        if limit is None:
            return order
        own = max_price_impact_bps if order.max_price_impact_bps is None else order.max_price_impact_bps
        return replace(order, max_price_impact_bps=min(own, limit))

    def within(self, order: Order, routing: Routing) -> Routing:
        """The answers, with the quotes rejected whose attempt would break a limit by itself."""
        if self._policy == NO_LIMITS:
            return routing
        answers = []
        for answer in routing.answers:
            broken = self._breaches(order, answer.quote) if answer.quote and not answer.code else []
            detail = "; ".join(breach.detail for breach in broken)
            answers.append(answer.rejected(FailureReason.POLICY, detail, retryable=False) if broken else answer)
        return Routing.of(answers)

    def _breaches(self, order: Order, quote: Quote) -> list[Breach]:
        return [unreadable_breach()] if self._policy is None else breaches(self._policy, attempted_trade(order, quote))


NO_OWNER_LIMITS = OwnerLimits(NO_LIMITS)


class PolicyBook:
    """Reads policies from `record`, and keeps each for a second."""

    def __init__(self, record: PolicyRecord, clock: Clock, wallets: WalletPolicies = NO_WALLET_POLICIES) -> None:
        self._wallets = wallets
        self._record = record
        self._clock = clock
        self._read: dict[int, tuple[float, OwnerLimits]] = {}

    async def limits_of(self, owner: int | None, wallet: str | None = None) -> OwnerLimits:
        """The limits of an order, by its key and its wallet. Raises `UnavailableError`."""
        # A wallet's policy is in the settings, which do not change while the process runs.
        limits = await self._limits_of_owner(owner)
        policy = self._wallets.of(wallet)
        return limits if policy is None else limits.and_of(policy)

    async def _limits_of_owner(self, owner: int | None) -> OwnerLimits:
        """The limits of an owner's orders (None: without a key, and without limits)."""
        if owner is None:
            return NO_OWNER_LIMITS
        read_at, limits = self._read.get(owner, (None, NO_OWNER_LIMITS))
        now = self._clock.monotonic()
        if read_at is not None and now - read_at < FRESH_SECONDS:
            return limits
        # A key that changes its limits every moment would only change them for orders between two reads: the record
        # decides for each attempt.
        limits = OwnerLimits((await self._record.policies([owner])).get(owner, NO_LIMITS))
        # All at once: what is dropped is read again within a second in any case.
        if len(self._read) >= MOST_OWNERS:
            self._read.clear()
        self._read[owner] = (now, limits)
        return limits
