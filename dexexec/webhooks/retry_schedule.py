"""When a delivery that failed is tried again, and how long a target that fails is left alone. In seconds."""

from datetime import datetime
from email.utils import parsedate_to_datetime

PAUSES = (5.0, 30.0, 120.0, 600.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0)
"""After the first try, the second ... and after each one more. A delivery ends a day after it was planned."""
FIRST_PROBE = 5.0
LONGEST_PROBE = 600.0
JITTER = 0.2
"""Pauses differ by this share, so that what failed together does not come back together."""
LONGEST_RETRY_AFTER = 3_600.0


def retry_pause(tries: int, random: float) -> float:
    """How long a delivery waits after `tries` tries. `random` is from 0 to 1."""
    return _jittered(PAUSES[min(tries, len(PAUSES)) - 1], random)


def probe_pause(failures: int, random: float) -> float:
    """How long a target waits that has failed so many times in a row."""
    # The exponent is bounded first: a target may fail for days.
    return _jittered(min(LONGEST_PROBE, FIRST_PROBE * 2.0 ** min(failures, 20)), random)


def read_retry_after(value: str, now: datetime) -> float:
    """The seconds of a header `Retry-After` in either of its forms, at most `LONGEST_RETRY_AFTER`; 0 for anything that
    is none, or lies in the past."""
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(LONGEST_RETRY_AFTER, float(text[:10]))
    try:
        seconds = (parsedate_to_datetime(text) - now).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return min(LONGEST_RETRY_AFTER, max(0.0, seconds))


def _jittered(seconds: float, random: float) -> float:
    return seconds * (1 - JITTER + 2 * JITTER * random)
