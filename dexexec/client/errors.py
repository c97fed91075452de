"""The errors of the client that are no refusals of the service. `problems.py` has those."""

from dexexec.errors import DexexecError

LONGEST_TEXT = 2_000
"""Characters of a text from the service that an error repeats."""


def one_line(text: str) -> str:
    """`text` without line breaks and control characters, cut to a length that a terminal can show."""
    # Texts from the service go to a terminal, which would execute escape sequences in them.
    return "".join(c if c.isprintable() else " " for c in text[:LONGEST_TEXT]).strip()


class ClientError(DexexecError):
    """Base class of what the client raises.

    `uncertain` is true when an earlier try of the same request had no answer, so that it may have had its effect. With
    `idempotency_key` a POST can be repeated: it returns the order that was stored, if there is one.
    """

    code = "client"
    uncertain: bool = False
    idempotency_key: str | None = None


class NoAnswerError(ClientError):
    """The service could not be reached, or did not answer in time."""

    code = "no-answer"

    def __init__(self, message: str, *, uncertain: bool = False) -> None:
        super().__init__(message)
        self.uncertain = uncertain


class StreamError(ClientError):
    """The event stream cannot go on: the service refused the subscription, or sends what is no event."""

    code = "stream"

    def __init__(self, message: str, *, code: str = "stream", order_id: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.order_id = order_id


class OrderEndedError(ClientError):
    """The order ended without the status that was waited for. `event` is its last event, if it came."""

    code = "order-ended"

    def __init__(self, message: str, *, event: object = None) -> None:
        super().__init__(message)
        self.event = event


class MalformedAnswerError(ClientError):
    """An answer lacks what it must have. The server may be another one, or a proxy."""

    code = "malformed-answer"
