"""Ends a dry order with what the simulation of its chosen quote shows. Nothing is signed, reserved or sent.

Takes the place of `attempt_recorder` and of settlement on such an order's way: it has no part that could sign or send.
"""

from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.status import Trigger
from dexexec.execution.attempt_recorder import ChosenQuote
from dexexec.execution.event_detail import Presenter
from dexexec.execution.job import Job
from dexexec.execution.step_writer import StepWriter
from dexexec.failpoints import Failpoint, Failpoints
from dexexec.settlement.settlement import Settlement
from dexexec.venue import AnyVenue

NOTHING_SENT = "simulated only: nothing was signed or sent"


class DryRun:
    """Simulates chosen quotes, and writes the fills that they would have."""

    def __init__(
        self,
        *,
        steps: StepWriter,
        settlement: Settlement,
        presenter: Presenter,
        failpoints: Failpoints,
    ) -> None:
        self._steps = steps
        self._settlement = settlement
        self._presenter = presenter
        self._failpoints = failpoints

    async def end(self, job: Job, venue: AnyVenue, choice: ChosenQuote) -> None:
        """End the order as `simulated`. Raises `VenueError`, with the events of the choice written."""
        # First, so that clients see the quotes and the choice while the node simulates.
        unwritten = choice.unwritten
        if unwritten.events:
            await self._steps.write(job, unwritten.events, venue=venue.name, rounds=unwritten.rounds)
        # The number only names the order in the simulated memo. It stays free, since no attempt is recorded.
        attempt = AttemptId(job.order.id, job.attempts + 1, job.order.key_digest)
        fill = await self._settlement.simulate(
            venue,
            choice.quote,
            job.deadline,
            attempt,
            bound=choice.bound,
            wallet=job.order.wallet,
            close_account=job.order.closes_account,
        )
        await self._failpoints.reach(Failpoint.SIMULATED)
        detail = {
            "venue": venue.name,
            **self._presenter.fill(job.order, fill, choice.quoted),
            "venueFee": choice.quoted["fee"],
            "venueFeeMint": choice.quoted["feeMint"],
            "detail": NOTHING_SENT,
        }
        await self._steps.write(job, ((Trigger.SIMULATE, detail),), venue=venue.name, fill=fill)
        await self._failpoints.reach(Failpoint.CONCLUDED)
