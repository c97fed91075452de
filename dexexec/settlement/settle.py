"""Settlement of one attempt: build and sign, then (once it is recorded) send and find out its fate.

The order of things is the promise. `prepare` makes the signed bytes and sends nothing. The caller records them under
its claim. Only then `settle` sends them, and from then on there are exactly three ways out, each with its proof:

* landed: the chain shows the swap, with what really moved;
* failed: the chain shows the transaction without effect; or a node refused bytes that were never sent before
  (rejected), or they never were sent (unsent);
* expired: a node that is past the last valid height, and has searched its whole history, does not know the signature.

Anything else (a timeout, an overloaded node, an answer that got lost) is unknown, and unknown means: ask again, and
send the same bytes again. The same bytes are one swap however often they are sent, so whoever resumes an attempt after
a crash does just the same.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dexexec.clock import Clock, Failpoint
from dexexec.domain.quote import Fill, Quote
from dexexec.domain.swap import (
    FailedOnChain,
    Landed,
    NotSeen,
    Rejected,
    SignedSwap,
    SubmitAnswer,
    SwapStatus,
    Unavailable,
    Unknown,
    proves_expiry,
)
from dexexec.errors import ClaimLostError
from dexexec.observe import Observer
from dexexec.settlement.signer import Signer
from dexexec.venue import AnyVenue, BadAnswer, Chain, QuoteExpired, Timeout, VenueError

CALL_TIMEOUT = 10.0
"""Seconds for one call of an adapter or a node."""
FIRST_LOOK, LONGEST_PAUSE = 0.01, 0.4
"""Seconds between two looks at a swap's status: growing by half, up to the length of a slot."""
RESEND_AFTER = 2.0
"""Seconds between two sends of the same bytes."""


@dataclass(frozen=True, slots=True)
class Fate:
    """How an attempt ended: `landed`, `failed`, `rejected`, `unsent` or `expired`; a reason code and words when not
    landed; and the proof, as JSON values."""

    outcome: str
    proof: dict[str, object]
    fill: Fill | None = None
    reason: str = ""
    detail: str = ""


class Settlement:
    """Settles on the chains of the enabled venues' networks."""

    def __init__(
        self, chains: Mapping[str, Chain], signers: Mapping[str, Signer], clock: Clock, observer: Observer
    ) -> None:
        self._chains, self._signers, self._clock, self._observer = chains, signers, clock, observer

    async def prepare(self, venue: AnyVenue, quote: Quote, deadline: float) -> SignedSwap:
        """Build and sign `quote`; nothing is sent. Raises `VenueError`; also when the order's deadline (monotonic
        seconds) comes first."""
        network = venue.capabilities.network
        signer = self._signers[network]
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                blockhash = await self._chains[network].blockhash()
                unsigned = await venue.build(quote, signer.payer, blockhash)
        except VenueError:
            raise
        except TimeoutError:
            raise Timeout(f"nothing was built within {CALL_TIMEOUT:.0f} s") from None
        except Exception as error:
            self._observer.venue_misbehaved(venue.name, quote.request, error)
            raise BadAnswer("the adapter failed while building") from error
        if self._clock.monotonic() >= deadline:
            raise QuoteExpired("the order's deadline passed while the swap was built")
        return signer.sign(unsigned)

    async def settle(
        self, venue: AnyVenue, signed: SignedSwap, *, resumed: bool, deadline: float, may_send: Callable[[], bool]
    ) -> Fate:
        """Send a recorded attempt and stay with it until its fate is proven, however long that takes.

        `resumed`: the bytes may have been sent before, so that a refusal proves nothing. Past the order's `deadline`
        (monotonic seconds) bytes that may never have been sent are not sent any more: a resumed attempt is only
        looked up until it is proven expired. `may_send` is asked before each send; raises `ClaimLostError` when it
        says no, as a worker whose lease ran out must not send.
        """
        late = self._clock.monotonic() >= deadline
        if late and not resumed:
            return Fate("unsent", {"sent": False}, None, "deadline", "the deadline passed before anything was sent")
        sends, sent = 0, self._clock.monotonic()
        if not late:
            answer = await self._submit(venue, signed, may_send)
            if isinstance(answer, Rejected) and not resumed:
                refused: dict[str, object] = {"code": answer.code, "detail": answer.detail}
                return Fate("rejected", refused, None, answer.code, answer.detail)
            sends = 1
        pause = FIRST_LOOK
        while True:
            status = await self._status(venue, signed)
            match status:
                case Landed(fill):
                    return Fate("landed", {"slot": fill.slot, "sends": sends}, fill)
                case FailedOnChain(code, detail, fee, slot):
                    proof: dict[str, object] = {
                        "slot": slot,
                        "code": code,
                        "detail": detail,
                        "fee": str(fee),
                        "sends": sends,
                    }
                    return Fate("failed", proof, None, code, detail)
                case NotSeen(height, _, node) if proves_expiry(status, signed.last_valid_height):
                    proof = {
                        "signature": signed.signature,
                        "lastValidHeight": signed.last_valid_height,
                        "heightSeen": height,
                        "historySearched": True,
                        "node": node,
                        "sends": sends,
                    }
                    return Fate("expired", proof, None, "attempt-expired", "the transaction can no longer land")
                case NotSeen() | Unavailable():
                    pass
            await self._clock.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
            if sends and self._clock.monotonic() - sent >= RESEND_AFTER:
                await self._submit(venue, signed, may_send)
                sent, sends = self._clock.monotonic(), sends + 1

    async def _submit(self, venue: AnyVenue, signed: SignedSwap, may_send: Callable[[], bool]) -> SubmitAnswer:
        if not may_send():
            raise ClaimLostError("the lease ran out: nothing more is sent")
        await self._clock.failpoint(Failpoint.SENDING)
        answer: SubmitAnswer
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                answer = await venue.submit(signed)
        except TimeoutError:
            answer = Unknown("no answer in time")
        except Exception as error:  # noqa: BLE001 - whatever an adapter raises while sending, the swap may be on its way
            self._observer.submit_unknown(venue.name, signed.signature, error)
            answer = Unknown("the adapter failed while sending")
        await self._clock.failpoint(Failpoint.SENT)
        return answer

    async def _status(self, venue: AnyVenue, signed: SignedSwap) -> SwapStatus:
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                return (await venue.status([signed.signature]))[0]
        except TimeoutError:
            return Unavailable("no answer in time")
        except Exception as error:  # noqa: BLE001 - an answer that cannot be read says nothing about the swap
            self._observer.submit_unknown(venue.name, signed.signature, error)
            return Unavailable("the adapter failed while looking up")
