"""The tree of errors. Each has a stable `code`, an HTTP status, and whether a retry can help.

The errors that a venue may raise are a closed set in `dexexec.venue`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from dexexec.domain.funds import Shortfall
from dexexec.domain.oco import GroupHeld


def install_hint(extra: str) -> str:
    """How to install an optional extra of dexexec. It comes from its source or its wheel, since no registry has it."""
    return f"run pip install '.[{extra}]' in dexexec's source, or 'WHEEL[{extra}]' with its wheel (uv run has it)"


# DexexecError                    (`dexexec.operator_errors` has what an operator's limits refuse)
# +- StartupError                 the process cannot start: one line with the remedy, exit code 2
# |  +- SettingsError
# |  +- UnreachableError          a given Postgres or Redis does not answer
# |  +- UnusableError             it answers, but cannot be used until its operator acts
# |  +- BackupError               the file of a backup cannot be written, read or restored
# |  +- EmbeddedError             an embedded server cannot be started here
# |  +- AdapterLoadError
# +- ClaimLostError               another worker has claimed the order: stop silently
# +- FundsReservedError           other attempts in flight may spend what this one needs
# +- GroupHeldError               another order of the group was filled, or its swap may still land
# +- RequestError                 sent to the client as a problem document
#    +- MalformedBodyError        400
#    +- UnsupportedMediaTypeError 415
#    +- BodyTooLargeError         413
#    +- InvalidOrderError         422, lists every bad field
#    |  +- InvalidQueryError            400
#    |  +- InvalidIdempotencyKeyError   400
#    |  +- InvalidIfMatchError          400
#    +- IdempotencyMismatchError  422, same key with another body
#    +- IdempotencyInFlightError  409
#    +- OrderNotFoundError        404
#    +- TooManyOrdersError        429
#    +- TooManyConnectionsError   503
#    +- TooLateError              409, something was signed for the order
#    +- NotRestingError           409, the order can only be changed while it rests
#    +- VersionMismatchError      412
#    +- PreconditionRequiredError 428
#    +- TooManyReadsError         429
#    +- VenuesUnavailableError    503
#    +- ReadsBusyError            503
#    +- QueueFullError            503
#    +- PartlyCancelledError      503, an outage in the middle of cancelling all
#    +- UnavailableError          503, Postgres or Redis does not answer
class DexexecError(Exception):
    """Base class of all errors that dexexec raises on purpose."""

    code = "internal"
    http_status = 500
    retryable = False


class StartupError(DexexecError):
    """The process cannot start. The message is one line that names the cause and the remedy."""

    code = "startup"
    exit_code = 2


class SettingsError(StartupError):
    """The environment has an invalid value, or a setting that does not exist."""

    code = "settings"


class UnreachableError(StartupError):
    """A server that the environment names does not answer. Waiting may help."""

    code = "unreachable"


class UnusableError(StartupError):
    """A server that the environment names answers, but cannot be used until its operator changes something."""

    code = "unusable"


class BackupError(StartupError):
    """The file of a backup cannot be written, read or restored. Nothing was changed."""

    code = "backup"


class EmbeddedError(StartupError):
    """An embedded server cannot be started on this machine."""

    code = "embedded"


class AdapterLoadError(StartupError):
    """An adapter named in DEXEXEC_ADAPTERS cannot be loaded."""

    code = "adapter"


class ClaimLostError(DexexecError):
    """The claim is stale: another worker has the order, and this worker writes nothing more about it."""

    code = "claim-lost"


class FundsReservedError(DexexecError):
    """The wallet cannot cover this attempt on top of the attempts in flight. Nothing was written."""

    code = "funds-reserved"
    retryable = True

    def __init__(self, shortfall: Shortfall) -> None:
        super().__init__(f"{shortfall.reserved} of {shortfall.balance} base units are reserved")
        self.shortfall = shortfall


class GroupHeldError(DexexecError):
    """Another order of the same `ocoGroup` was filled, or its swap may still land. Nothing was written."""

    code = "group-held"
    retryable = True

    def __init__(self, held: GroupHeld) -> None:
        super().__init__(held.detail)
        self.held = held


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One invalid field: its name ("" for the whole body), what is wrong, and what is expected."""

    field: str
    problem: str
    expected: str


class RequestError(DexexecError):
    """Base class of errors that become a problem document. `title` is fixed per class; the message is the detail."""

    code = "bad-request"
    http_status = 400
    title = "The request cannot be served"
    retry_after: float | None = None
    fields: Sequence[FieldProblem] = ()
    order_id: str | None = None
    about: Mapping[str, object] = MappingProxyType({})
    """More members of the problem document."""


class MalformedBodyError(RequestError):
    """The body is not a JSON object."""

    code = "malformed-body"
    title = "The body is not a JSON object"

    def __init__(self, detail: str, fields: Sequence[FieldProblem] = ()) -> None:
        super().__init__(detail)
        self.fields = fields


class UnsupportedMediaTypeError(RequestError):
    """The content type is missing or not JSON."""

    code = "unsupported-media-type"
    http_status = 415
    title = "The body must be application/json"


class BodyTooLargeError(RequestError):
    """The body exceeds the limit."""

    code = "body-too-large"
    http_status = 413
    title = "The body is too large"


IN_THE_PAST = "is in the past"
"""The problem of a field whose time has passed."""


class InvalidOrderError(RequestError):
    """One or more fields of the order are invalid."""

    code = "invalid-order"
    http_status = 422
    title = "The order has invalid fields"

    def __init__(self, fields: Sequence[FieldProblem]) -> None:
        super().__init__("; ".join(f"{f.field or 'body'}: {f.problem}" for f in fields))
        self.fields = fields


class InvalidQueryError(InvalidOrderError):
    """One or more query parameters are invalid."""

    code = "invalid-query"
    http_status = 400
    title = "The query has invalid parameters"


class InvalidIdempotencyKeyError(InvalidOrderError):
    """The Idempotency-Key header is invalid."""

    code = "invalid-idempotency-key"
    http_status = 400
    title = "The Idempotency-Key header is invalid"


class InvalidIfMatchError(InvalidOrderError):
    """The If-Match header has another form than an ETag of an order."""

    code = "invalid-if-match"
    http_status = 400
    title = "The If-Match header is invalid"


class IdempotencyMismatchError(RequestError):
    """The key was used before with a different body."""

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


class UnauthorizedError(RequestError):
    """The request has no API key, or one that is unknown, revoked or expired."""

    code = "unauthorized"
    http_status = 401
    title = "An API key is required"


class ScopeMissingError(RequestError):
    """The API key is valid, and does not allow this."""

    code = "scope-missing"
    http_status = 403
    title = "The API key does not allow this"


class OrderNotFoundError(RequestError):
    """The order does not exist."""

    code = "order-not-found"
    http_status = 404
    title = "No such order"


class TooManyOrdersError(RequestError):
    """This client posts orders faster than DEXEXEC_CLIENT_ORDERS_PER_MINUTE allows."""

    code = "too-many-orders"
    http_status = 429
    title = "Too many orders from this client"
    retryable = True

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooManyConnectionsError(RequestError):
    """DEXEXEC_MAX_CONNECTIONS or DEXEXEC_CLIENT_CONNECTIONS is reached, and no open connection is idle."""

    code = "too-many-connections"
    http_status = 503
    title = "Too many connections"
    retryable = True
    retry_after = 1.0


class TooLateError(RequestError):
    """The order cannot be cancelled: a transaction was signed for it, or it has ended. It goes on as if nothing had
    happened; the document has its `status` and newest `attempt`."""

    code = "too-late"
    http_status = 409
    title = "The order can no longer be cancelled"

    def __init__(self, detail: str, about: Mapping[str, object]) -> None:
        super().__init__(detail)
        self.about = about


class NotRestingError(RequestError):
    """Only an order that rests can be changed. The document has its status and version: it was triggered, is executed
    or has ended."""

    code = "not-resting"
    http_status = 409
    title = "The order does not rest"

    def __init__(self, detail: str, about: Mapping[str, object]) -> None:
        super().__init__(detail)
        self.about = about


class VersionMismatchError(RequestError):
    """The order has another version than `If-Match` names. The document has the current one as `seq`: read the order
    again, and decide again."""

    code = "version-mismatch"
    http_status = 412
    title = "The order has another version"

    def __init__(self, detail: str, about: Mapping[str, object]) -> None:
        super().__init__(detail)
        self.about = about


class PreconditionRequiredError(RequestError):
    """A change needs the `If-Match` header, with the `ETag` that reading the order returned."""

    code = "precondition-required"
    http_status = 428
    title = "The If-Match header is missing"


class PartlyCancelledError(RequestError):
    """Cancelling all orders was interrupted. The document has how many are `cancelled` for certain; some more may be.
    Repeating the request is safe: it cancels what is left."""

    code = "partly-cancelled"
    http_status = 503
    title = "Not all orders are cancelled"
    retryable = True
    retry_after = 1.0

    def __init__(self, cancelled: int, cause: str) -> None:
        super().__init__(f"{cancelled} orders are cancelled, and more may be: repeat the request ({cause})")
        self.about = {"cancelled": cancelled}


class TooManyReadsError(RequestError):
    """One client has too many reads of orders in flight: queued, running, or with an answer that it has not read."""

    code = "too-many-reads"
    http_status = 429
    title = "Too many reads from this client"
    retryable = True
    retry_after = 1.0


class VenuesUnavailableError(RequestError):
    """The venues of this process cannot be opened for quotes."""

    code = "venues-unavailable"
    http_status = 503
    title = "No venue can be queried"
    retryable = True
    retry_after = 5.0


class ReadsBusyError(RequestError):
    """Too many reads of orders are queued. New orders are still accepted and executed."""

    code = "reads-busy"
    http_status = 503
    title = "Too many reads are waiting"
    retryable = True
    retry_after = 1.0


class QueueFullError(RequestError):
    """The queue holds as many orders as DEXEXEC_MAX_QUEUE allows."""

    code = "queue-full"
    http_status = 503
    title = "Too many orders are waiting"
    retryable = True
    retry_after = 1.0


class UnavailableError(RequestError):
    """Postgres or Redis does not answer. Without `orderId`, no order was accepted; with it, the order may have been."""

    code = "unavailable"
    http_status = 503
    title = "The service cannot take orders now"
    retryable = True
    retry_after = 1.0

    def __init__(self, message: str, order_id: str | None = None) -> None:
        super().__init__(message)
        self.order_id = order_id
