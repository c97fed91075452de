"""How long a landed swap is followed before it is recorded, and how often a swap is looked up, by the chain's pace."""

import pytest

from dexexec.domain.pace import UNKNOWN_PACE, Finality, Pace
from dexexec.domain.swap import NotSeen, SwapStatus, Unavailable
from dexexec.settlement.attempt_settler import FINAL_SLOTS, LONGEST_WAIT_SLOTS, longest_wait
from tests.support.scripted import ScriptedChain
from tests.support.scripted_settlement import ALIVE, CONFIRMED, FAILED, LANDED, ScriptedSettlement

IMMEDIATE = Pace(0.2, Finality.IMMEDIATE, measured=True)
DELAYED = Pace(0.2, Finality.DELAYED, measured=True)


class PacedChain(ScriptedChain):
    """A scripted chain with a pace."""

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self.pace = pace


def settlement_at(pace: Pace, *statuses: SwapStatus) -> ScriptedSettlement:
    scripted = ScriptedSettlement()
    scripted.chain = PacedChain(pace)
    scripted.chain.statuses = list(statuses)
    scripted.settlement = scripted.settling_on(scripted.chain)
    return scripted


async def test_where_finality_is_immediate_a_swap_is_recorded_once_and_as_final() -> None:
    scripted = settlement_at(IMMEDIATE, ALIVE, CONFIRMED, CONFIRMED, LANDED)
    result = await scripted.settle()
    assert (result.outcome, result.proof["finalized"], len(scripted.chain.sent)) == ("landed", True, 1)


async def test_where_finality_takes_time_a_swap_is_recorded_as_soon_as_it_is_confirmed() -> None:
    scripted = settlement_at(DELAYED, ALIVE, CONFIRMED, LANDED)
    assert (await scripted.settle()).outcome == "confirmed"


async def test_where_nodes_are_wrong_about_their_cluster_it_is_recorded_late_and_not_as_final() -> None:
    """A false certificate costs this time and nothing else."""
    scripted = settlement_at(IMMEDIATE, CONFIRMED)
    result = await scripted.settle()
    assert (result.outcome, result.proof["finalized"]) == ("confirmed", False)
    longest = IMMEDIATE.seconds(FINAL_SLOTS + LONGEST_WAIT_SLOTS)
    assert IMMEDIATE.seconds(FINAL_SLOTS) <= scripted.clock.monotonic() <= longest
    assert len(scripted.chain.sent) == 1, "what landed is not sent again"


@pytest.mark.parametrize(("later", "outcome"), [(LANDED, "landed"), (FAILED, "failed")])
async def test_a_landing_that_a_fork_undoes_before_it_is_final_is_none(later: SwapStatus, outcome: str) -> None:
    scripted = settlement_at(IMMEDIATE, CONFIRMED, CONFIRMED, *[ALIVE] * 30, later)
    assert (await scripted.settle()).outcome == outcome
    assert len(scripted.chain.sent) > 1, "the same bytes get another chance"


@pytest.mark.parametrize(
    ("status", "slots"),
    [
        (Unavailable("away"), LONGEST_WAIT_SLOTS),
        (CONFIRMED, LONGEST_WAIT_SLOTS),
        (NotSeen(100, history=False, node="n"), LONGEST_WAIT_SLOTS),
        (NotSeen(148, history=False, node="n"), 3),
        (NotSeen(150, history=False, node="n"), 1),
        # Past the last valid height the history was searched, and that proved nothing: searches are expensive.
        (NotSeen(151, history=True, node="n"), LONGEST_WAIT_SLOTS),
    ],
)
@pytest.mark.parametrize("pace", [IMMEDIATE, UNKNOWN_PACE])
def test_towards_the_last_valid_height_lookups_follow_the_blocks(pace: Pace, status: SwapStatus, slots: int) -> None:
    assert longest_wait(pace, 150, status) == pytest.approx(pace.seconds(slots))
