"""Reads and writes durations as ISO 8601 has them (`PT5M`, `P1DT12H`, `P2W`), without the parts that have no fixed
length."""

import re
from datetime import timedelta

# No years and months, whose length depends on the calendar, no signs, and fractions only of seconds. Each number is
# short, so that no duration overflows.
_DURATION = re.compile(
    r"P(?:(?P<weeks>\d{1,5})W"
    r"|(?P<days>\d{1,5}D)?(?:T(?=\d)(?P<hours>\d{1,7}H)?(?P<minutes>\d{1,8}M)?(?P<seconds>\d{1,9}(?:\.\d{1,6})?S)?)?)",
    re.ASCII,
)


def read_duration(text: str) -> timedelta | None:
    """The duration in `text`; None if it is not one."""
    match = _DURATION.fullmatch(text)
    parts = {name: part.rstrip("DHMS") for name, part in match.groupdict().items() if part} if match else {}
    if not parts:
        return None
    seconds, _, fraction = parts.pop("seconds", "0").partition(".")
    whole = timedelta(seconds=int(seconds), **{name: int(part) for name, part in parts.items()})
    # As an integer: a float would lose microseconds of a long duration.
    return whole + timedelta(microseconds=int(fraction.ljust(6, "0")))


def duration_text(duration: timedelta) -> str:
    """The shortest text of a duration that is not negative: 5 minutes are `PT5M`."""
    minutes, seconds = divmod(duration.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{duration.microseconds:06d}".rstrip("0").rstrip(".")
    time = "".join(f"{number}{unit}" for number, unit in ((hours, "H"), (minutes, "M")) if number)
    if seconds or fraction:
        time += f"{seconds}{fraction}S"
    days = f"{duration.days}D" if duration.days else ""
    return f"P{days}{'T' if time else ''}{time}" if days or time else "PT0S"
