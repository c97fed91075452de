"""One tree of errors: a stable `code`, the HTTP status it is answered with, and whether trying again can help.

    DexexecError
    +- StartupError                 the process cannot start: one line that says what to do, exit code 2
    |  +- SettingsError
    |  +- UnreachableError          a given Postgres or Redis does not answer
    |  +- UnusableError             it answers, and waiting does not make it usable
    |  +- EmbeddedError             an embedded server cannot be started here
    |  +- AdapterLoadError
    +- ClaimLostError               somebody else has the order now: stop silently
    +- FundsReservedError           other attempts in flight may spend what this one needs
    +- RequestError                 answered to a client as a problem document
       +- MalformedBodyError        400
       +- UnsupportedMediaTypeError 415
       +- BodyTooLargeError         413
       +- InvalidOrderError         422, lists every bad field
       |  +- InvalidQueryError            400
       |  +- InvalidIdempotencyKeyError   400
       +- IdempotencyMismatchError  422, same key with another body
       +- IdempotencyInFlightError  409
       +- OrderNotFoundError        404
       +- TooManyOrdersError        429
       +- TooManyConnectionsError   503
       +- TooManyReadsError         429
       +- ReadsBusyError            503
       +- QueueFullError            503
       +- UnavailableError          503, Postgres or Redis does not answer

What a venue may raise is a closed set of its own, in `dexexec.venue`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dexexec.domain.funds import Shortfall


def install_hint(extra: str) -> str:
    """What brings an extra of ours: it comes from where the source is, as no registry has it."""
    return f"run pip install '.[{extra}]' in the folder of dexexec's source (uv run has it already)"


class DexexecError(Exception):
    """Base of every error this project raises on purpose."""

    code = "internal"
    http_status = 500
    retryable = False


class StartupError(DexexecError):
    """The process cannot start. The message is one line and says what to do."""

    code = "startup"
    exit_code = 2


class SettingsError(StartupError):
    """The environment holds a value or a name that cannot be used."""

    code = "settings"


class UnreachableError(StartupError):
    """A server given by the environment does not answer."""

    code = "unreachable"


class UnusableError(StartupError):
    """A server given by the environment answers and cannot be used as it is: somebody has to change something."""

    code = "unusable"


class EmbeddedError(StartupError):
    """An embedded server cannot be started on this machine."""

    code = "embedded"


class AdapterLoadError(StartupError):
    """An adapter named in DEXEXEC_ADAPTERS cannot be loaded."""

    code = "adapter"


class ClaimLostError(DexexecError):
    """The claim went stale: another worker has the order, and this one writes nothing more about it."""

    code = "claim-lost"


class FundsReservedError(DexexecError):
    """What an attempt may spend does not fit beside what other attempts in flight may: nothing was written."""

    code = "funds-reserved"
    retryable = True

    def __init__(self, shortfall: Shortfall) -> None:
        super().__init__(f"{shortfall.reserved} of {shortfall.balance} base units are reserved")
        self.shortfall = shortfall


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One bad field: its name ("" is the body as a whole), what is wrong, and what would be right."""

    field: str
    problem: str
    expected: str


class RequestError(DexexecError):
    """Answered to the client as a problem document. `title` is fixed per class, the message is the detail."""

    code = "bad-request"
    http_status = 400
    title = "The request cannot be served"
    retry_after: float | None = None
    fields: Sequence[FieldProblem] = ()
    order_id: str | None = None


class MalformedBodyError(RequestError):
    """The body is not the JSON object that was expected."""

    code = "malformed-body"
    title = "The body is not a JSON object"


class UnsupportedMediaTypeError(RequestError):
    """The content type is missing or not JSON."""

    code = "unsupported-media-type"
    http_status = 415
    title = "The body must be application/json"


class BodyTooLargeError(RequestError):
    """The body is over the limit."""

    code = "body-too-large"
    http_status = 413
    title = "The body is too large"


class InvalidOrderError(RequestError):
    """One or more fields of the order are wrong."""

    code = "invalid-order"
    http_status = 422
    title = "The order has invalid fields"

    def __init__(self, fields: Sequence[FieldProblem]) -> None:
        super().__init__("; ".join(f"{f.field or 'body'}: {f.problem}" for f in fields))
        self.fields = fields


class InvalidQueryError(InvalidOrderError):
    """One or more query parameters are wrong."""

    code = "invalid-query"
    http_status = 400
    title = "The query has invalid parameters"


class InvalidIdempotencyKeyError(InvalidOrderError):
    """The Idempotency-Key header cannot be used."""

    code = "invalid-idempotency-key"
    http_status = 400
    title = "The Idempotency-Key header is invalid"


class IdempotencyMismatchError(RequestError):
    """The key was used before, with another body."""

    code = "idempotency-key-reused"
    http_status = 422
    title = "The Idempotency-Key was used with another body"


class IdempotencyInFlightError(RequestError):
    """The first request with this key is still being stored."""

    code = "idempotency-key-in-flight"
    http_status = 409
    title = "A request with this Idempotency-Key is in flight"
    retryable = True
    retry_after = 1.0


class OrderNotFoundError(RequestError):
    """No such order."""

    code = "order-not-found"
    http_status = 404
    title = "No such order"


class TooManyOrdersError(RequestError):
    """This client posted more orders than it may."""

    code = "too-many-orders"
    http_status = 429
    title = "Too many orders from this client"
    retryable = True

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooManyConnectionsError(RequestError):
    """As many connections are open as DEXEXEC_MAX_CONNECTIONS or DEXEXEC_CLIENT_CONNECTIONS allow, and none is idle."""

    code = "too-many-connections"
    http_status = 503
    title = "Too many connections"
    retryable = True
    retry_after = 1.0


class TooManyReadsError(RequestError):
    """Too many reads of orders by one client wait, run, or have answers that it has not read."""

    code = "too-many-reads"
    http_status = 429
    title = "Too many reads from this client"
    retryable = True
    retry_after = 1.0


class ReadsBusyError(RequestError):
    """Too many reads of orders wait. Orders are still taken and executed."""

    code = "reads-busy"
    http_status = 503
    title = "Too many reads are waiting"
    retryable = True
    retry_after = 1.0


class QueueFullError(RequestError):
    """More orders wait than DEXEXEC_MAX_QUEUE allows."""

    code = "queue-full"
    http_status = 503
    title = "Too many orders are waiting"
    retryable = True
    retry_after = 1.0


class UnavailableError(RequestError):
    """Postgres or Redis does not answer. Nothing was accepted; or, when `order_id` is set, nobody knows."""

    code = "unavailable"
    http_status = 503
    title = "The service cannot take orders now"
    retryable = True
    retry_after = 1.0

    def __init__(self, message: str, order_id: str | None = None) -> None:
        super().__init__(message)
        self.order_id = order_id
