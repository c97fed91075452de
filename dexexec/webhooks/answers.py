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
    """A try and its outcome. `text` is for people, and ends with the target's `excerpt`; `target_pause` is how long the
    target wants no request (seconds)."""

    verdict: Verdict
    text: str
    excerpt: str = ""
    target_pause: float = 0.0

    @property
    def for_log(self) -> str:
        """`text` without the target's words: many servers repeat the path that was requested, which may be a secret."""
        return self.text.removesuffix(f": {self.excerpt}") if self.excerpt else self.text


def read_answer(status: int, retry_after: str, body: bytes, now: datetime) -> Answer:
    """What an HTTP answer means."""
    if 200 <= status < 300:
        return Answer(verdict=Verdict.DELIVERED, text=f"HTTP {status}")
    excerpt = clean(body.decode(errors="replace"), LONGEST_EXCERPT)
    text = f"HTTP {status}: {excerpt}" if excerpt else f"HTTP {status}"
    if status == 410:
        return Answer(verdict=Verdict.GONE, text=text, excerpt=excerpt)
    if 300 <= status < 400:
        # Its new address would have to be checked too, and a signed message must not go to another one.
        text = f"HTTP {status}: redirects are not followed"
        excerpt = ""
    pause = read_retry_after(retry_after, now)
    return Answer(verdict=Verdict.FAILED, text=text, excerpt=excerpt, target_pause=pause)


def failed(text: str) -> Answer:
    """A try without an answer."""
    return Answer(verdict=Verdict.FAILED, text=clean(text))
