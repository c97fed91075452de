"""Groups of orders that cancel one another (`ocoGroup`): values and sentences. Pure; the rules are in docs/adr/0027."""

from dataclasses import dataclass
from uuid import UUID

from dexexec.domain.api_key import chosen_name
from dexexec.domain.event import Detail
from dexexec.domain.failure_reason import FailureReason


@dataclass(frozen=True, slots=True)
class GroupHeld:
    """Why an order of a group may not be swapped now: the swap of `order_id`, another of its orders, has landed
    (`filled`), or may still land. Without an `order_id`, attempts of the others were recorded since this order was
    claimed, and have not been looked up for it."""

    group: str
    order_id: UUID | None
    filled: bool = False

    @property
    def detail(self) -> str:
        """The sentence for clients."""
        group = chosen_name(self.group)
        if self.order_id is None:
            return f'attempts of other orders of the group "{group}" must be looked up first'
        what = "was filled" if self.filled else "has a swap on its way"
        return f'order {self.order_id} of the group "{group}" {what}'


def filled_detail(group: str, filled_by: UUID, *, before: bool = False) -> Detail:
    """The detail of the `cancelled` event of an order whose group another one has filled. `before`: it came when the
    group was filled already."""
    when = " before" if before else ""
    return {
        "reason": FailureReason.GROUP_FILLED,
        "filledBy": str(filled_by),
        "detail": f'order {filled_by} of the group "{chosen_name(group)}" was filled{when}',
    }
