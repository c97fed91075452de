"""Problem documents (RFC 9457) for refused requests, from the tree of errors.

`type` is `/problems/<code>`: one stable string per cause, the same on every installation, and a path of this service.
`instance` is the request's id. An unexpected exception becomes `internal`, without its text.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType

from tornado.httputil import HTTPInputError
from tornado.web import HTTPError

from dexexec.errors import (
    BodyTooLargeError,
    IdempotencyInFlightError,
    IdempotencyMismatchError,
    InvalidIdempotencyKeyError,
    InvalidIfMatchError,
    InvalidOrderError,
    InvalidQueryError,
    MalformedBodyError,
    NotRestingError,
    OrderNotFoundError,
    PartlyCancelledError,
    PreconditionRequiredError,
    QueueFullError,
    ReadsBusyError,
    RequestError,
    ScopeMissingError,
    TooLateError,
    TooManyConnectionsError,
    TooManyOrdersError,
    TooManyReadsError,
    UnauthorizedError,
    UnavailableError,
    UnsupportedMediaTypeError,
    VenuesUnavailableError,
    VersionMismatchError,
)
from dexexec.intake.signing_errors import NoSignatureAwaitedError, OtherTransactionError
from dexexec.operator_errors import HaltedError, PolicyError, TooManyRequestsError
from dexexec.store import PositionUnknownError
from dexexec.webhook_errors import (
    InvalidWebhookError,
    TooManyWebhooksError,
    WebhookDisabledError,
    WebhookNameTakenError,
    WebhookNotFoundError,
)

MEDIA_TYPE = "application/problem+json"
PATH = "/problems/"


class UnreadableRequestError(RequestError):
    """The path, the query or a header cannot be read, for example because it is not UTF-8."""

    title = "The request cannot be read"


class ResourceNotFoundError(RequestError):
    """This service does not have this path."""

    code = "not-found"
    http_status = 404
    title = "No such resource"


class MethodNotAllowedError(RequestError):
    """The path exists, but not with this method. The `Allow` header lists those that it has."""

    code = "method-not-allowed"
    http_status = 405
    title = "The method is not allowed here"


class NotAcceptableError(RequestError):
    """The Accept header allows none of the media types that this path has."""

    code = "not-acceptable"
    http_status = 406
    title = "No acceptable media type"


class TargetTooLongError(RequestError):
    """The path with its query is longer than any valid one of this service."""

    code = "target-too-long"
    http_status = 414
    title = "The path or the query is too long"


class ExpectationFailedError(RequestError):
    """The Expect header is not 100-continue."""

    code = "expectation-failed"
    http_status = 417
    title = "The Expect header cannot be met"


class HeadersTooLargeError(RequestError):
    """The headers exceed the limit."""

    code = "headers-too-large"
    http_status = 431
    title = "The headers are too large"


class UpgradeRequiredError(RequestError):
    """The request opens a WebSocket, but lacks the headers for it or has another version than 13."""

    code = "upgrade-required"
    http_status = 426
    title = "This is the handshake of a WebSocket"


class HostNotAllowedError(RequestError):
    """The Host header names neither this machine nor a host of DEXEXEC_ALLOWED_HOSTS. A page may have pointed its own
    name at this service."""

    code = "host-not-allowed"
    http_status = 421
    title = "This host is not served here"


class OriginNotAllowedError(RequestError):
    """A browser sent this for a page of another origin, which DEXEXEC_ALLOWED_ORIGINS does not list."""

    code = "origin-not-allowed"
    http_status = 403
    title = "Pages of this origin may not use this service"


class PageRefusedError(RequestError):
    """The page for people is turned off, or the network can reach the service and it requires no key. Programs are
    served as ever."""

    code = "page-refused"
    http_status = 403
    title = "The page is not shown here"


class KeyInUrlError(RequestError):
    """The URL holds an API key. URLs are written to the logs of proxies and to the history of browsers: send the key in
    the Authorization header, and rotate this one."""

    code = "key-in-url"
    title = "An API key must not be in the URL"


class InternalError(RequestError):
    """An internal error of the service. Its log has the details under the request id in `instance`."""

    code = "internal"
    http_status = 500
    title = "The service failed"


PROBLEMS: Mapping[str, type[RequestError]] = MappingProxyType(
    {
        error.code: error
        for error in (
            UnreadableRequestError,
            MalformedBodyError,
            UnsupportedMediaTypeError,
            BodyTooLargeError,
            InvalidOrderError,
            InvalidQueryError,
            InvalidIdempotencyKeyError,
            InvalidIfMatchError,
            IdempotencyMismatchError,
            IdempotencyInFlightError,
            KeyInUrlError,
            UnauthorizedError,
            ScopeMissingError,
            PolicyError,
            TooManyRequestsError,
            OrderNotFoundError,
            ResourceNotFoundError,
            MethodNotAllowedError,
            NotAcceptableError,
            PositionUnknownError,
            TargetTooLongError,
            ExpectationFailedError,
            UpgradeRequiredError,
            HeadersTooLargeError,
            HostNotAllowedError,
            OriginNotAllowedError,
            PageRefusedError,
            TooManyConnectionsError,
            TooManyOrdersError,
            WebhookNotFoundError,
            WebhookNameTakenError,
            TooManyWebhooksError,
            WebhookDisabledError,
            InvalidWebhookError,
            TooLateError,
            NotRestingError,
            NoSignatureAwaitedError,
            OtherTransactionError,
            VersionMismatchError,
            PreconditionRequiredError,
            PartlyCancelledError,
            TooManyReadsError,
            ReadsBusyError,
            VenuesUnavailableError,
            QueueFullError,
            HaltedError,
            UnavailableError,
            InternalError,
        )
    }
)
"""Every error that a client can get, by code."""


def uri(code: str) -> str:
    """The `type` of a problem."""
    # A self-hosted service has no domain for an absolute URI. RFC 9457, section 3.1.1, recommends the full path.
    return PATH + code


def from_exception(exception: BaseException | None, status: int) -> RequestError:
    """The error to answer with. `status` is Tornado's, for errors that Tornado raised."""
    if isinstance(exception, RequestError):
        return exception
    if isinstance(exception, HTTPError) and isinstance(exception.__cause__, HTTPInputError):
        # Tornado parses forms before it calls a handler. No route accepts one.
        return UnsupportedMediaTypeError("forms are not understood here: send application/json")
    if status == 404:
        return ResourceNotFoundError("this path is not part of the API: GET / lists where to begin")
    if status == 405:
        return MethodNotAllowedError("the Allow header lists the methods of this path")
    if 400 <= status < 500:
        return UnreadableRequestError("the path, the query or a header cannot be read")
    return InternalError("the log has the details under the id in `instance`")


def document(error: RequestError, request_id: str) -> dict[str, object]:
    """The problem document as a JSON object."""
    body: dict[str, object] = {
        "type": uri(error.code),
        "title": error.title,
        "status": error.http_status,
        "detail": str(error) or error.title,
        "instance": request_id,
    }
    if error.fields:
        body["errors"] = [{"field": f.field, "problem": f.problem, "expected": f.expected} for f in error.fields]
    if error.retry_after is not None:
        body["retryAfterMs"] = math.ceil(error.retry_after * 1000)
    if error.order_id is not None:
        body["orderId"] = error.order_id
    return body | dict(error.about)


def headers(error: RequestError) -> dict[str, str]:
    """The headers of the answer. `Retry-After` is in whole seconds, at least one."""
    fields = {"Content-Type": MEDIA_TYPE}
    if isinstance(error, UpgradeRequiredError):  # RFC 9110, section 15.5.22, and RFC 6455, section 4.4
        fields |= {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    if isinstance(error, UnauthorizedError):
        fields["WWW-Authenticate"] = "Bearer"
    if error.retry_after is not None:
        fields["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    return fields


def explanation(code: str) -> dict[str, object] | None:
    """The explanation for `GET /problems/<code>`; None if the code does not exist."""
    error = PROBLEMS.get(code)
    if error is None:
        return None
    return {
        "type": uri(code),
        "title": error.title,
        "status": error.http_status,
        "retryable": error.retryable,
        "meaning": " ".join((error.__doc__ or error.title).split()),
    }
