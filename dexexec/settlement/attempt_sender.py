"""Sends the bytes of one recorded attempt, again and again while its outcome is open, and records where.

However often the same bytes arrive, they are one transaction. Only another send gives them another chance before their
blockhash expires: nodes and validators drop transactions under load.
"""

import asyncio
import math
from collections.abc import Callable, Mapping

from dexexec.clock import Clock
from dexexec.domain.sends import SendLog
from dexexec.domain.stage import Stage
from dexexec.domain.swap import FailedOnChain, Landed, SignedSwap, SubmitAnswer, SwapStatus, Unknown
from dexexec.errors import ClaimLostError
from dexexec.failpoints import Failpoint, Failpoints
from dexexec.observe.observer import Observer
from dexexec.settlement.broadcasting import BroadcastingChain
from dexexec.settlement.status_lookup import CALL_TIMEOUT
from dexexec.venue import Chain, PacedChain

RESEND_SLOTS = 1.5
"""Slots between two sends of the same bytes: each leader gets them, and none twice in a slot."""
SHORTEST_RESEND = 0.2
"""Seconds. A chain with shorter slots gets no more sends."""
RESEND_AFTER = 2.0
"""Seconds between two sends of the same bytes, on a chain without slots."""


class AttemptSender:
    """Sends one attempt. `may_send` returns whether this worker still holds its lease. While `repeats` is set, the
    bytes are to be sent again."""

    def __init__(
        self,
        signed: SignedSwap,
        *,
        chain: Chain,
        clock: Clock,
        observer: Observer,
        may_send: Callable[[], bool],
        failpoints: Failpoints,
    ) -> None:
        self.count = 0
        self.repeats = False
        self._signed = signed
        self._chain = chain
        self._clock = clock
        self._observer = observer
        self._may_send = may_send
        self._failpoints = failpoints
        self._log = SendLog()
        self._sent_at = -math.inf
        self._last_answer: SubmitAnswer | None = None

    @property
    def answer(self) -> SubmitAnswer | None:
        """The answer to the last send; None if nothing was sent. Endpoints may have answered since it returned."""
        return self._log.answer() if self._log else self._last_answer

    @property
    def seconds_to_next(self) -> float:
        """Seconds until the bytes are due again; infinite if they are not to be sent again."""
        return self._sent_at + self._pause() - self._clock.monotonic() if self.repeats else math.inf

    async def send(self) -> None:
        """Sends the bytes. Raises `ClaimLostError` when the lease ran out."""
        # Checked right before the send, not once at the start: the lease may run out while this attempt waits, and
        # then another worker may already have ended the order.
        if not self._may_send():
            raise ClaimLostError("the lease ran out: nothing more is sent")
        await self._failpoints.reach(Failpoint.SENDING)
        # Counted from the beginning: an endpoint that answers late must not make the sends rarer.
        self._sent_at = self._clock.monotonic()
        self._last_answer = await self._submit()
        self.count += 1
        await self._failpoints.reach(Failpoint.SENT)

    async def send_if_due(self) -> None:
        """Sends the bytes again if it is time. Raises as `send`."""
        if self.seconds_to_next <= 0:
            await self.send()

    def record(self, status: SwapStatus) -> tuple[Mapping[str, object], ...]:
        """Returns the sends to each endpoint as JSON values; `status` is what proves the outcome."""
        if isinstance(status, Landed | FailedOnChain):
            return tuple(self._log.detail(landed_slot=status.slot, seen_at_ms=self._clock.unix_ms()))
        return tuple(self._log.detail())

    def _pause(self) -> float:
        if not isinstance(self._chain, PacedChain):
            return RESEND_AFTER
        return max(self._chain.pace.seconds(RESEND_SLOTS), SHORTEST_RESEND)

    async def _submit(self) -> SubmitAnswer:
        signed = self._signed
        begun = self._clock.monotonic()
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                if isinstance(self._chain, BroadcastingChain):
                    return await self._chain.broadcast(signed, self._log)
                return await self._chain.submit(signed)
        except TimeoutError:
            return Unknown("no answer in time")
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the swap may be on its way
            self._observer.settlement_failed(signed.network, signed.signature, error)
            return Unknown("sending failed")
        finally:
            now = self._clock.monotonic()
            # Of the first send only: the others wait for no answer.
            if not self.count:
                self._observer.metrics.stage_ended(Stage.SENDING, now - begun)
            self._observer.tracer.stage(Stage.SENDING, begun, now)
