"""Where the bytes of one attempt were sent, and what each endpoint answered.

The record is for people and figures. No answer to a send proves anything about the swap.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from dexexec.domain.swap import Accepted, SubmitAnswer, Unknown


class SendAnswer(StrEnum):
    """What an endpoint answered to a send."""

    ACCEPTED = "accepted"
    OTHER_SIGNATURE = "other-signature"
    """It names another transaction than the one that it got."""
    REFUSED = "refused"
    RATE_LIMITED = "rate-limited"
    FAILED = "failed"
    NO_ANSWER = "no-answer"
    """The request is on its way, or its time ran out."""
    NOT_SENT = "not-sent"
    """Nothing left this process: our own budget was exhausted, or nothing could be connected to."""


@dataclass(slots=True, kw_only=True)
class EndpointSends:
    """The sends of one attempt to one endpoint, in one turn of a worker.

    `slot` is the newest slot that was known at the first send (None: unknown). `in_flight`: requests without an answer
    so far. The answer is the first acceptance, else the last answer.
    """

    endpoint: str
    send_only: bool
    sent_at_ms: int
    slot: int | None
    sends: int = 0
    in_flight: int = 0
    answer: SendAnswer = SendAnswer.NO_ANSWER
    words: str = ""

    def begin(self) -> None:
        """Records that a request begins."""
        self.sends += 1
        self.in_flight += 1

    def end(self, answer: SendAnswer, words: str = "") -> None:
        """Records the answer to a request, or why it has no answer."""
        self.in_flight -= 1
        # Counted when it began, since a request that hangs is a send: only now it is known that this was none.
        if answer is SendAnswer.NOT_SENT:
            self.sends -= 1
        # A node that has the transaction already may refuse it the next time: that takes no acceptance back. A send
        # that was left out changes nothing about those before it.
        if self.answer is SendAnswer.ACCEPTED or (answer is SendAnswer.NOT_SENT and self.sends):
            return
        self.answer = answer
        self.words = words

    def slots_to(self, landed_slot: int | None) -> int | None:
        """Returns the slots from the first send to the landing; None if unknown, or if it landed before this send."""
        if landed_slot is None or self.slot is None or not self.sends or landed_slot < self.slot:
            return None
        return landed_slot - self.slot

    def detail(self, landed_slot: int | None, seen_at_ms: int | None) -> dict[str, object]:
        """Returns the record as JSON values, of a transaction that landed in `landed_slot` and was seen then."""
        slots = self.slots_to(landed_slot)
        sent_at = datetime.fromtimestamp(self.sent_at_ms / 1000, UTC).isoformat(timespec="milliseconds")
        return {
            "endpoint": self.endpoint,
            "sendOnly": self.send_only,
            "sentAt": sent_at.replace("+00:00", "Z") if self.sends else None,
            "sends": self.sends,
            "answer": str(self.answer),
            **({"detail": self.words} if self.words else {}),
            "landingSlots": slots,
            # Only together: a send after the landing brought nothing.
            "landingMs": None if slots is None or seen_at_ms is None else max(0, seen_at_ms - self.sent_at_ms),
        }


@dataclass(slots=True)
class SendLog:
    """The sends of one attempt to all endpoints, in the order of their first use."""

    _by_endpoint: dict[str, EndpointSends] = field(default_factory=dict)

    def __iter__(self) -> Iterator[EndpointSends]:
        return iter(self._by_endpoint.values())

    def __bool__(self) -> bool:
        return bool(self._by_endpoint)

    def of(self, endpoint: str) -> EndpointSends | None:
        """Returns the sends to one endpoint, if there are any."""
        return self._by_endpoint.get(endpoint)

    def begin(self, endpoint: str, *, send_only: bool, at_ms: int, slot: int | None) -> EndpointSends:
        """Records that a request to an endpoint begins."""
        sends = self._by_endpoint.get(endpoint)
        if sends is None:
            sends = EndpointSends(endpoint=endpoint, send_only=send_only, sent_at_ms=at_ms, slot=slot)
            self._by_endpoint[endpoint] = sends
        elif not sends.sends:
            # What was left out before is sent now.
            sends.sent_at_ms = at_ms
            sends.slot = slot
        sends.begin()
        return sends

    def answer(self) -> SubmitAnswer:
        """Returns the answers as one, with the words of each endpoint if none accepted."""
        if any(sends.answer is SendAnswer.ACCEPTED for sends in self):
            return Accepted()
        return Unknown("; ".join(sends.words or f"{sends.endpoint} has not answered yet" for sends in self))

    def detail(self, landed_slot: int | None = None, seen_at_ms: int | None = None) -> list[dict[str, object]]:
        """Returns the records as JSON values, of a transaction that landed in `landed_slot` and was seen then."""
        return [sends.detail(landed_slot, seen_at_ms) for sends in self]
