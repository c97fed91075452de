"""An example of every problem document, for the schema and for people."""

from collections.abc import Mapping

from dexexec.api import problems
from dexexec.errors import FieldProblem, RequestError

REQUEST_ID = "d8d46e03754a1b3a"
ORDER_ID = "01a20375-9296-7c99-b5c0-eef1ea8717b4"
_ABOUT_ORDER = {"orderId": ORDER_ID, "orderStatus": "submitted", "seq": 4}
_ATTEMPT = {
    "attempt": 1,
    "venue": "raydium",
    "txHash": "5VERv8NMvzbJMEkV8xnrLkEaWRtSz9CosKDYjCJjBRnb",
    "outcome": "open",
}

_DETAILS: Mapping[str, str] = {
    "malformed-body": "the body is not JSON: Expecting value at line 1, column 1",
    "unsupported-media-type": "the Content-Type is not application/json",
    "body-too-large": "the body is over 65536 bytes",
    "unauthorized": "send a valid API key: Authorization: Bearer dx_..., made with `python -m dexexec keys create`",
    "scope-missing": "this key lacks the scope trade: it has read",
    "invalid-order": "slipage: is not a field of an order; amount: is negative",
    "invalid-query": "limit: is not a usable limit",
    "invalid-idempotency-key": "Idempotency-Key: is empty",
    "invalid-if-match": "If-Match: is not an ETag of an order",
    "order-not-found": "the path names no order: it takes the orderId that posting one answered",
    "not-found": "this path is not part of the API: GET / lists where to begin",
    "method-not-allowed": "the Allow header lists the methods of this path",
    "not-acceptable": "events are sent as text/event-stream only: accept that",
    "position-unknown": "events behind this position were moved to the archive",
    "too-late": "attempt 1 is signed (open): the order goes on",
    "webhook-not-found": "the path names no webhook of yours: GET /api/webhooks lists them",
    "webhook-name-taken": "choose another name than books, or remove that webhook",
    "too-many-webhooks": "there are 20 already: remove one",
    "webhook-disabled": "books is disabled, since a client disabled it: enable it first",
    "invalid-webhook": "url: is not allowed",
    "not-resting": "the order is being executed (submitted): it can be changed if it comes back to rest",
    "no-signature-awaited": "there is nothing to sign yet: wait for the event with `waitsFor` signature",
    "other-transaction": "this is not the transaction of attempt 1, or it was changed: sign the one in `transaction`",
    "version-mismatch": "the order is at version 4 now: read it again",
    "partly-cancelled": "512 orders are cancelled, and more may be: repeat the request (Postgres does not answer)",
    "unavailable": "Postgres does not answer",
    "halted": "signing is halted for this service since 2026-11-29T12:00:00.000Z: prices look wrong",
    "too-many-requests": "over the key's policy: requestsPerSecond is 5",
    "policy": "over the key's policy: maxSlippageBps is 30, given 50",
    "internal": "the log has the details under the id in `instance`",
}
"""What the detail may be; otherwise it is the title."""
_FIELDS: Mapping[str, tuple[FieldProblem, ...]] = {
    "malformed-body": (
        FieldProblem("", "the body is empty", 'a JSON object such as {"side": "buy", "amount": "0.01"}'),
    ),
    "invalid-order": (
        FieldProblem("slipage", "is not a field of an order", "did you mean slippageBps?"),
        FieldProblem("amount", "is negative", 'a positive decimal string such as "0.01"'),
    ),
    "invalid-webhook": (FieldProblem("url", "is not allowed", "must begin with https://"),),
    "invalid-query": (FieldProblem("limit", "is not a usable limit", "an integer from 1 to 100"),),
    "policy": (FieldProblem("slippageBps", "is 50", "maxSlippageBps: 30"),),
    "invalid-idempotency-key": (
        FieldProblem("Idempotency-Key", "is empty", "one value of 1 to 255 printable ASCII characters"),
    ),
    "invalid-if-match": (FieldProblem("If-Match", "is not an ETag of an order", 'the version in quotes: "7"'),),
}
_MEMBERS: Mapping[str, Mapping[str, object]] = {
    "too-late": {"orderId": ORDER_ID, "orderStatus": "submitted", "attempt": _ATTEMPT},
    "not-resting": _ABOUT_ORDER,
    "version-mismatch": _ABOUT_ORDER,
    "no-signature-awaited": {"orderStatus": "routing"},
    "other-transaction": {"attempt": 1, "transaction": "AgAAAA==", "lastValidHeight": 371203984},
    "partly-cancelled": {"cancelled": 512},
    "policy": {"policy": "maxSlippageBps", "limit": "30", "given": "50"},
    "too-many-orders": {"retryAfterMs": 2500},
    "too-many-requests": {"retryAfterMs": 200},
}


def example(error: type[RequestError]) -> dict[str, object]:
    """The document of such a problem."""
    detail = _DETAILS.get(error.code, error.title)
    # Not of a constructor: some errors need what only a request has.
    shown = RequestError(detail)
    shown.code, shown.http_status, shown.title = error.code, error.http_status, error.title
    shown.retry_after = error.retry_after
    shown.fields = _FIELDS.get(error.code, ())
    return problems.document(shown, REQUEST_ID) | dict(_MEMBERS.get(error.code, {}))


def examples() -> dict[str, object]:
    """An example object of OpenAPI for every problem, by its code."""
    return {
        code: {"summary": error.title, "value": example(error)} for code, error in sorted(problems.PROBLEMS.items())
    }
