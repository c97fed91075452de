"""What orders cost. Fees and rent are lamports."""

from dexexec.api.contract.answer import Answer, BaseUnits, Count, Lamports, SignedUnits, Timestamp, absent


class MintCost(Answer):
    """Sums of one mint, in its base units."""

    mint: str
    venue_fees: BaseUnits
    slippage: SignedUnits
    venue_slippage: SignedUnits


class UnknownCosts(Answer):
    """Attempts that are missing in the sums, since their record lacks these."""

    fee_parts: Count
    rent: Count
    quotes: Count


class CostSum(Answer):
    """What attempts cost that are on the chain. Fees and rent are lamports."""

    swaps: Count
    failed_attempts: Count
    fees: Lamports
    base_fees: Lamports
    priority_fees: Lamports
    failed_fees: Lamports
    tips: Lamports
    rent_paid: Lamports
    rent_returned: Lamports
    lamports: SignedUnits
    unknown: UnknownCosts
    mints: list[MintCost]


class OrderCost(CostSum):
    """What the order cost in all."""

    final: bool
    """Whether nothing can be added any more."""


class CostGroup(CostSum):
    """The sums of a group, with the values that its attempts have in common."""

    venue: str = absent()
    day: str = absent()
    tag: str | None = absent()


class Costs(Answer):
    """Sums of what attempts cost in a time."""

    since: Timestamp
    until: Timestamp
    next: Timestamp | None
    """Where to continue, as `since`; null if all attempts are in the sums."""
    total: CostSum
    groups: list[CostGroup] = absent()
    groups_omitted: Count = absent()
    mints_omitted: bool
