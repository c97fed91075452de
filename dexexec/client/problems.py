"""The errors of the client: one class for each problem type of the service, under one class for its HTTP status.

A problem type of a newer service is raised as the class of its status, so that a program that catches
`ConflictError` or `ProblemError` also works with a newer service.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar

from dexexec.client.errors import ClientError, one_line
from dexexec.errors import FieldProblem


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A problem document. `retry_after` is in seconds; `request_id` is in the log of the service; `about` has the
    members that only some problems have."""

    code: str
    status: int
    title: str = ""
    detail: str = ""
    fields: Sequence[FieldProblem] = ()
    retry_after: float | None = None
    order_id: str | None = None
    request_id: str | None = None
    about: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


class ProblemError(ClientError):
    """The service answered with a problem document, or with a status over 400 without one."""

    code = "refused"
    status: ClassVar[int] = 0
    """The HTTP status of the class."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem = problem
        self.code = problem.code
        self.http_status = problem.status
        self.title = problem.title
        self.detail = problem.detail
        self.fields = problem.fields
        self.retry_after = problem.retry_after
        self.order_id = problem.order_id
        self.request_id = problem.request_id
        self.about = problem.about

    def __str__(self) -> str:
        errors = [f"{one.field or 'body'} {one.problem}, expected {one.expected}" for one in self.fields]
        text = "; ".join(errors) or self.detail
        head = f"{self.http_status} {self.title or self.code}"
        return one_line(f"{head}: {text}" if text else head)


# The classes of a status. Each is also the class of the problem type that has no other one.


class BadRequestError(ProblemError):
    """400."""

    status = 400
    code = "bad-request"


class UnauthorizedError(ProblemError):
    """401: no API key, or one that is not valid (any more)."""

    status = 401
    code = "unauthorized"


class ForbiddenError(ProblemError):
    """403."""

    status = 403
    code = "forbidden"


class NotFoundError(ProblemError):
    """404."""

    status = 404
    code = "not-found"


class ConflictError(ProblemError):
    """409."""

    status = 409
    code = "conflict"


class UnprocessableError(ProblemError):
    """422."""

    status = 422
    code = "unprocessable"


class TooManyRequestsError(ProblemError):
    """429. Repeated by the client for as long as its deadline allows."""

    status = 429
    code = "too-many-requests"
    retryable = True


class InternalError(ProblemError):
    """500 and every other status over 500 that has no class."""

    status = 500
    code = "internal"


class UnavailableError(ProblemError):
    """503. Repeated by the client for as long as its deadline allows."""

    status = 503
    code = "unavailable"
    retryable = True


class GatewayError(UnavailableError):
    """502 or 504: a proxy before the service has no answer from it."""

    status = 502
    code = "gateway"


# The classes of a problem type.


class MalformedBodyError(BadRequestError):
    """The body is not a JSON object."""

    code = "malformed-body"


class InvalidQueryError(BadRequestError):
    """A parameter is wrong; `fields` has each."""

    code = "invalid-query"


class InvalidIdempotencyKeyError(BadRequestError):
    """The Idempotency-Key has other characters, or is too long."""

    code = "invalid-idempotency-key"


class InvalidIfMatchError(BadRequestError):
    """The version of a change is not one."""

    code = "invalid-if-match"


class KeyInUrlError(BadRequestError):
    """The API key is in the URL, where logs would have it."""

    code = "key-in-url"


class ScopeMissingError(ForbiddenError):
    """The API key does not have the scope of this request."""

    code = "scope-missing"


class PolicyError(ForbiddenError):
    """The policy of the API key does not allow the order; `fields` and `about` have the limit."""

    code = "policy"


class OriginNotAllowedError(ForbiddenError):
    """The request names an origin that the service does not serve."""

    code = "origin-not-allowed"


class PageRefusedError(ForbiddenError):
    """The page for people is not shown at this address."""

    code = "page-refused"


class OrderNotFoundError(NotFoundError):
    """There is no such order, or it belongs to another API key."""

    code = "order-not-found"


class MethodNotAllowedError(ProblemError):
    """The path does not have this method."""

    status = 405
    code = "method-not-allowed"


class IdempotencyKeyInFlightError(ConflictError):
    """The first request with this key is still being stored. Repeated by the client."""

    code = "idempotency-key-in-flight"
    retryable = True


class NotRestingError(ConflictError):
    """The order cannot be changed: it was triggered, is executed, or has ended."""

    code = "not-resting"


class NoSignatureAwaitedError(ConflictError):
    """The order waits for no signature of its client."""

    code = "no-signature-awaited"


class OtherTransactionError(ConflictError):
    """The order waits for another transaction, which is in `about["transaction"]`, or the sent one was changed."""

    code = "other-transaction"


class NotAcceptableError(ProblemError):
    """The client accepts none of the forms that the path has."""

    status = 406
    code = "not-acceptable"


class PositionUnknownError(ProblemError):
    """The stream of all events cannot go on from this position: read the orders again, and follow from now on."""

    status = 410
    code = "position-unknown"


class TooLateError(ConflictError):
    """The order cannot be cancelled: a transaction was signed for it, or it has ended. `about` has its `orderStatus`
    and newest `attempt`."""

    code = "too-late"


class VersionMismatchError(ProblemError):
    """The order has another version; `about["seq"]` is the current one."""

    status = 412
    code = "version-mismatch"


class BodyTooLargeError(ProblemError):
    """The body exceeds the limit."""

    status = 413
    code = "body-too-large"


class TargetTooLongError(ProblemError):
    """Path and query exceed the limit."""

    status = 414
    code = "target-too-long"


class UnsupportedMediaTypeError(ProblemError):
    """The body is not announced as JSON."""

    status = 415
    code = "unsupported-media-type"


class ExpectationFailedError(ProblemError):
    """The Expect header cannot be met."""

    status = 417
    code = "expectation-failed"


class HostNotAllowedError(ProblemError):
    """The host of the URL is not one that the service serves."""

    status = 421
    code = "host-not-allowed"


class InvalidOrderError(UnprocessableError):
    """The order has invalid fields; `fields` has each."""

    code = "invalid-order"


class IdempotencyKeyReusedError(UnprocessableError):
    """The Idempotency-Key belongs to a request with another body."""

    code = "idempotency-key-reused"


class UpgradeRequiredError(ProblemError):
    """The handshake of the WebSocket lacks a header: a proxy may have removed it."""

    status = 426
    code = "upgrade-required"


class PreconditionRequiredError(ProblemError):
    """A change needs a version."""

    status = 428
    code = "precondition-required"


class TooManyOrdersError(TooManyRequestsError):
    """More orders a minute than the service allows a client."""

    code = "too-many-orders"


class TooManyReadsError(TooManyRequestsError):
    """Too many reads of this client at once."""

    code = "too-many-reads"


class HeadersTooLargeError(ProblemError):
    """The headers exceed the limit."""

    status = 431
    code = "headers-too-large"


class QueueFullError(UnavailableError):
    """Too many orders wait for execution."""

    code = "queue-full"


class VenuesUnavailableError(UnavailableError):
    """No venue can be queried."""

    code = "venues-unavailable"


class ReadsBusyError(UnavailableError):
    """Too many reads are waiting."""

    code = "reads-busy"


class TooManyConnectionsError(UnavailableError):
    """Too many connections are open."""

    code = "too-many-connections"


class PartlyCancelledError(UnavailableError):
    """Cancelling many orders was interrupted. Repeated by the client."""

    code = "partly-cancelled"


class HaltedError(UnavailableError):
    """Trading is halted. Not repeated: it lasts until a person resumes it."""

    code = "halted"
    retryable = False
