"""The class of each problem type of the service, and of each HTTP status."""

from collections.abc import Mapping
from types import MappingProxyType

from dexexec.client.problems import (
    BadRequestError,
    BodyTooLargeError,
    ConflictError,
    ExpectationFailedError,
    ForbiddenError,
    GatewayError,
    HaltedError,
    HeadersTooLargeError,
    HostNotAllowedError,
    IdempotencyKeyInFlightError,
    IdempotencyKeyReusedError,
    InternalError,
    InvalidIdempotencyKeyError,
    InvalidIfMatchError,
    InvalidOrderError,
    InvalidQueryError,
    KeyInUrlError,
    MalformedBodyError,
    MethodNotAllowedError,
    NoSignatureAwaitedError,
    NotAcceptableError,
    NotFoundError,
    NotRestingError,
    OrderNotFoundError,
    OriginNotAllowedError,
    OtherTransactionError,
    PageRefusedError,
    PartlyCancelledError,
    PolicyError,
    PositionUnknownError,
    PreconditionRequiredError,
    ProblemError,
    QueueFullError,
    ReadsBusyError,
    ScopeMissingError,
    TargetTooLongError,
    TooLateError,
    TooManyConnectionsError,
    TooManyOrdersError,
    TooManyReadsError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
    UnprocessableError,
    UnsupportedMediaTypeError,
    UpgradeRequiredError,
    VenuesUnavailableError,
    VersionMismatchError,
)
from dexexec.client.webhook_problems import (
    InvalidWebhookError,
    TooManyWebhooksError,
    WebhookDisabledError,
    WebhookNameTakenError,
    WebhookNotFoundError,
)

BY_CODE: Mapping[str, type[ProblemError]] = MappingProxyType({
    one.code: one
    for one in (
        BadRequestError, UnauthorizedError, NotFoundError, TooManyRequestsError, InternalError, UnavailableError,
        MalformedBodyError, InvalidQueryError, InvalidIdempotencyKeyError, InvalidIfMatchError, KeyInUrlError,
        ScopeMissingError,
        PolicyError, OriginNotAllowedError, PageRefusedError, OrderNotFoundError, MethodNotAllowedError,
        IdempotencyKeyInFlightError,
        NotRestingError, NoSignatureAwaitedError, OtherTransactionError, TooLateError, VersionMismatchError,
        BodyTooLargeError, TargetTooLongError,
        UnsupportedMediaTypeError, ExpectationFailedError, HostNotAllowedError, InvalidOrderError,
        IdempotencyKeyReusedError, UpgradeRequiredError, PreconditionRequiredError, TooManyOrdersError,
        TooManyReadsError, HeadersTooLargeError, QueueFullError, VenuesUnavailableError, ReadsBusyError,
        TooManyConnectionsError, PartlyCancelledError, HaltedError, NotAcceptableError, PositionUnknownError,
        WebhookNotFoundError,
        WebhookNameTakenError, TooManyWebhooksError, WebhookDisabledError, InvalidWebhookError,
    )
})  # fmt: skip
BY_STATUS: Mapping[int, type[ProblemError]] = MappingProxyType({
    400: BadRequestError, 401: UnauthorizedError, 403: ForbiddenError, 404: NotFoundError, 409: ConflictError,
    422: UnprocessableError, 429: TooManyRequestsError, 502: GatewayError, 503: UnavailableError, 504: GatewayError,
})  # fmt: skip
