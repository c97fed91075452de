"""What adapters and nodes say, made fit for the record, for logs and for sockets: the one place that does it.

Text from outside may hold NUL (which Postgres' jsonb refuses), lone surrogates (which JSON refuses), line breaks,
megabytes, or come from an object that raises when it is printed. Codes may be anything. Nothing here raises.
"""

import re

from dexexec.domain.failure_reason import FailureReason
from dexexec.observe.redaction import Redactor
from dexexec.venue import VENUE_ERRORS, VenueError

LONGEST = 500
"""Characters of a sentence."""
LONGEST_NAME = 100
UNPRINTABLE = "(cannot be printed)"
_redact = Redactor()
_SLUG = re.compile(r"[a-z][a-z0-9-]{0,39}")


def clean(text: object, longest: int = LONGEST) -> str:
    """`text` as one line of printable characters, cut to `longest`, without what looks like a secret."""
    try:
        found = str.__getitem__(str(text), slice(0, 4 * longest))
    except BaseException:  # noqa: BLE001 - whatever an object does when it is printed
        return UNPRINTABLE
    line = "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in found)
    line = _redact(" ".join(line.split()))
    return line if len(line) <= longest else line[: longest - 1] + "…"


def slug(code: object, instead: str) -> str:
    """`code` if it is a short code such as `no-route`, else `instead`."""
    if isinstance(code, FailureReason):
        return code
    # Not `isinstance`: the methods of an adapter's own subclass of str may lie or raise.
    return code if type(code) is str and _SLUG.fullmatch(code) else instead


def kind_of(error: VenueError) -> type[VenueError]:
    """The error of the closed set that `error` is, or is a kind of."""
    return next((kind for kind in VENUE_ERRORS if isinstance(error, kind)), VenueError)


def code_of(error: VenueError) -> str:
    """The documented code of an error: an adapter's own kind of error has that of the kind."""
    return slug(error.code, VenueError.code) if _is_ours(error) else kind_of(error).code


def is_retryable(error: VenueError) -> bool:
    """Whether asking again may help, as the kind of error has it."""
    return error.retryable is True if _is_ours(error) else kind_of(error).retryable


def is_shared(error: VenueError) -> bool:
    """Whether the cause is trouble that all venues share. An error that cannot tell is the venue's own."""
    try:
        return error.shared is True
    except BaseException:  # noqa: BLE001 - an adapter's own error may have left out what ours sets
        return False


def _is_ours(error: VenueError) -> bool:
    return str(type(error).__module__).startswith("dexexec.")
