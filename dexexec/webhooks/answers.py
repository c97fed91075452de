"""What a target's answer means for a delivery."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from dexexec.observe.untrusted_text import clean
from dexexec.webhooks.retry_schedule import read_retry_after

LONGEST_EXCERPT = 200


class Verdict(StrEnum):
    """What became of a try."""

    DELIVERED = "delivered"
    FAILED = "failed"
    GONE = "gone"  # the target wants no more requests at all


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A try and its outcome. `text` is for people; `target_pause` is how long the target wants no request (seconds)."""

    verdict: Verdict
    text: str
    target_pause: float = 0.0


def read_answer(status: int, retry_after: str, body: bytes, now: datetime) -> Answer:
    """What an HTTP answer means."""
    if 200 <= status < 300:
        return Answer(verdict=Verdict.DELIVERED, text=f"HTTP {status}")
    excerpt = clean(body.decode(errors="replace"), LONGEST_EXCERPT)
    text = f"HTTP {status}: {excerpt}" if excerpt else f"HTTP {status}"
    if status == 410:
        return Answer(verdict=Verdict.GONE, text=text)
    if 300 <= status < 400:
        # Its new address would have to be checked too, and a signed message must not go to another one.
        text = f"HTTP {status}: redirects are not followed"
    return Answer(verdict=Verdict.FAILED, text=text, target_pause=read_retry_after(retry_after, now))


def failed(text: str) -> Answer:
    """A try without an answer."""
    return Answer(verdict=Verdict.FAILED, text=clean(text))
