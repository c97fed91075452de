"""Orders whose transaction the client signs: hands it out, and records the attempt once the signature is there.

Takes the place of `attempt_recorder` on such an order's way. While the client signs, no worker holds the order.
"""

from base64 import b64encode
from collections.abc import Mapping

from dexexec.clock import Clock
from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.handout import Handout, client_address
from dexexec.domain.policy_check import handed_out_trade
from dexexec.domain.status import Trigger
from dexexec.domain.wait_reason import WaitsFor
from dexexec.execution.attempt_recorder import ChosenQuote
from dexexec.execution.job import Job, RetryAfter
from dexexec.execution.step_writer import StepWriter
from dexexec.failpoints import Failpoint, Failpoints
from dexexec.observe.observer import Observer
from dexexec.settlement.sealing import ClientSignatureNeeded
from dexexec.settlement.settlement import Settlement
from dexexec.store import Attempt, NewAttempt, Release, Store
from dexexec.venue import AnyVenue

LOOK_SLOTS = 12
"""Slots between two looks whether a transaction has expired that is not signed: a twelfth of its life."""
LANDING_BLOCKS = 20
"""A signature that comes when fewer blocks are left is too late: the transaction would most likely not land."""


class ClientSignatures:
    """Hands transactions out, and completes what comes back."""

    def __init__(
        self,
        *,
        store: Store,
        steps: StepWriter,
        settlement: Settlement,
        venues: Mapping[str, AnyVenue],
        clock: Clock,
        observer: Observer,
        failpoints: Failpoints,
    ) -> None:
        self._store = store
        self._steps = steps
        self._settlement = settlement
        self._venues = venues
        self._clock = clock
        self._observer = observer
        self._failpoints = failpoints

    async def hand_out(self, job: Job, choice: ChosenQuote, needed: ClientSignatureNeeded) -> RetryAfter:
        """Give the order back with a transaction for its client. The events of the choice are written already."""
        checked = needed.checked
        network = self._venues[choice.quote.venue].capabilities.network
        fee = {"priorityFee": checked.priority_fee.detail()} if checked.priority_fee else {}
        prepared = {"preparedFrom": checked.prepared.detail()} if checked.prepared else {}
        tip = {"tipTransfer": checked.tip.detail()} if checked.tip else {}
        handout = Handout(
            n=job.attempts + 1,
            venue=choice.quote.venue,
            message=checked.message,
            signers=checked.signers,
            cosigned=checked.cosigned,
            last_valid_height=checked.blockhash.last_valid_height,
            network=network,
            genesis=self._settlement.networks[network],
            quoted={**choice.quoted, **fee, **tip, **prepared},
            most_in=choice.quote.max_in,
            impact_ppm=choice.quote.price_impact_ppm,
            spending=checked.spending,
        )
        detail = {
            "venue": handout.venue,
            "attempt": handout.n,
            "waitsFor": WaitsFor.SIGNATURE,
            "transaction": b64encode(handout.transaction()).decode(),
            "lastValidHeight": handout.last_valid_height,
            # The client pays it, so it is shown before the signature.
            **tip,
            "detail": f"it waits for the signature of {client_address(job.order.wallet)}: sign `transaction`, and post"
            f" it to /api/orders/{job.order.id}/signed",
        }
        # Not resting: the oracle has no price to wait for, and any worker may take the order up by its time.
        pause_ms = self._pause_ms(job, handout.network)
        await self._failpoints.reach(Failpoint.SIGNED)
        await self._steps.write(
            job, ((Trigger.WAIT, detail),), venue=handout.venue, handout=handout, resume_in_ms=pause_ms
        )
        return RetryAfter(pause_ms)

    async def resume(self, job: Job) -> Attempt | RetryAfter | None:
        """What has become of the transaction that was handed out: signed and now recorded as an attempt; still with its
        client, and the order is given back; or None if there is none that could land. Raises `VenueError`, and what
        refuses a record: `GroupHeldError`, `HaltedError`, `PolicyError`, `SignerError` and `FundsReservedError`."""
        handout = await self._store.handout(job.order.id)
        if handout is None or not await self._is_alive(job, handout):
            return None
        if handout.signature is not None:
            return await self._record(job, handout)
        pause_ms = self._pause_ms(job, handout.network)
        release = Release(order_id=job.order.id, claim=job.order.claim, blame=False, resume_in_ms=pause_ms)
        await self._store.release(release)
        return RetryAfter(pause_ms)

    async def _record(self, job: Job, handout: Handout) -> Attempt:
        attempt_id = AttemptId(job.order.id, handout.n, job.order.key_digest)
        # The co-signer signs only here. Before the record has it, the transaction stays in this process.
        signed = self._settlement.complete(job.order.wallet or "", handout, attempt_id)
        attempt = Attempt(n=handout.n, venue=handout.venue, signed=signed, quoted=handout.quoted, age_ms=handout.age_ms)
        new = NewAttempt(
            n=attempt.n,
            venue=attempt.venue,
            signed=signed,
            quoted=attempt.quoted,
            spending=handout.spending,
            trade=handed_out_trade(job.order, handout),
        )
        about = {**attempt.about(), "lastValidHeight": signed.last_valid_height}
        # The status table has no shortcut from waiting to submitted, so the events lead there step by step.
        events = (
            (Trigger.ROUTE, {"detail": "the client has signed"}),
            (Trigger.BUILD, {"venue": handout.venue, **handout.quoted}),
            (Trigger.SUBMIT, about),
        )
        await self._steps.write(job, events, venue=attempt.venue, attempt=new)
        self._observer.metrics.attempt_recorded(attempt.venue)
        job.attempts += 1
        job.signatures += (signed.signature,)
        await self._failpoints.reach(Failpoint.RECORDED)
        return attempt

    async def _is_alive(self, job: Job, handout: Handout) -> bool:
        """Whether the transaction can still become the order's next attempt. Raises `VenueError`."""
        # Its number is part of the memo and of the co-signer's key, and another chain has other blockhashes.
        if handout.n != job.attempts + 1 or handout.genesis != self._settlement.networks.get(handout.network):
            return False
        # The height may be late, and a transaction may then be recorded that is too old. That costs an attempt.
        height = await self._settlement.block_height(handout.network)
        return height + LANDING_BLOCKS <= handout.last_valid_height

    def _pause_ms(self, job: Job, network: str) -> float:
        left = max(0.0, job.deadline - self._clock.monotonic())
        return min(self._settlement.pace(network).seconds(LOOK_SLOTS), left) * 1000
