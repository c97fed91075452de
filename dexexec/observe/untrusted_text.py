"""Sanitizes text and error codes from adapters and nodes before they reach Postgres, logs and WebSockets.

Such text may hold NUL (refused by jsonb), lone surrogates (refused by JSON), line breaks or megabytes, or come from an
object that raises when it is printed. Nothing here raises.
"""

import re

from dexexec.domain.failure_reason import FailureReason
from dexexec.observe.redaction import Redactor
from dexexec.venue import VENUE_ERRORS, VenueError

LONGEST = 500
"""Characters of a sentence that are kept."""
LONGEST_NAME = 100
SHOWN_NAME = 40
"""Characters of a client's name for a field that an answer repeats."""
UNPRINTABLE = "(cannot be printed)"
_redact = Redactor()
_SLUG = re.compile(r"[a-z][a-z0-9-]{0,39}")


def clean(text: object, longest: int = LONGEST) -> str:
    """`text` as one line of printable characters, at most `longest`, with anything like a secret masked."""
    try:
        # Cut before the loop below, since the text may have megabytes; unbound, since an adapter may subclass str.
        start = str.__getitem__(str(text), slice(0, 4 * longest))
    except BaseException:  # noqa: BLE001 - an adapter's __str__ may raise anything
        return UNPRINTABLE
    line = "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in start)
    line = _redact(" ".join(line.split()))
    return line if len(line) <= longest else line[: longest - 1] + "…"


def masked_name(name: str) -> str:
    """The beginning of a name that a client chose, with anything like a secret masked: people paste keys everywhere."""
    # Masked before it is cut: the beginning of a secret does not look like one, and is still worth guessing from.
    return _redact(name[: 4 * SHOWN_NAME])[:SHOWN_NAME]


def slug(code: object, instead: str) -> str:
    """`code` if it is a valid short code such as `no-route`, else `instead`."""
    if isinstance(code, FailureReason):
        return code
    # Not `isinstance`: the methods of an adapter's own subclass of str may lie or raise.
    return code if type(code) is str and _SLUG.fullmatch(code) else instead


def kind_of(error: VenueError) -> type[VenueError]:
    """The documented venue error that `error` is an instance of; `VenueError` if there is no closer one."""
    return next((kind for kind in VENUE_ERRORS if isinstance(error, kind)), VenueError)


def code_of(error: VenueError) -> str:
    """The documented code of an error. A subclass that an adapter defines has the code of its base class."""
    return slug(error.code, VenueError.code) if _is_ours(error) else kind_of(error).code


def is_retryable(error: VenueError) -> bool:
    """Whether a retry may help, according to the documented error class."""
    return error.retryable is True if _is_ours(error) else kind_of(error).retryable


def is_shared(error: VenueError) -> bool:
    """Whether all venues share the cause of the error, such as an unreachable node."""
    try:
        return error.shared is True
    except BaseException:  # noqa: BLE001 - an adapter's subclass may not have called our constructor
        return False


def _is_ours(error: VenueError) -> bool:
    return str(type(error).__module__).startswith("dexexec.")
