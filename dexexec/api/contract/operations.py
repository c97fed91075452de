"""What each route does, takes and answers, by method: the part of the OpenAPI document that no model has."""

from collections.abc import Mapping

from dexexec.api import cancel_selection, costs, event_stream_handlers, list_query, orders, quotes, stats
from dexexec.api.contract.command_answers import Amended, Cancelled, CancelledAll, Checked, Explanation, Posted, Signed
from dexexec.api.contract.cost_answers import Costs
from dexexec.api.contract.history_answers import Order, OrderPart
from dexexec.api.contract.operation import READING, Answered, Operation
from dexexec.api.contract.order_answers import OrdersPage
from dexexec.api.contract.overview_answers import Overview
from dexexec.api.contract.quote_answers import Quotes, Venues
from dexexec.api.contract.service_answers import Alive, FrontPage, ProblemExplanation, Readiness
from dexexec.api.contract.stats_answers import Stats
from dexexec.api.contract.webhook_operations import WEBHOOK_OPERATIONS
from dexexec.api.front_page import EXECUTE
from dexexec.intake.field_types import Schema

HEADERS: Mapping[str, Mapping[str, object]] = {
    "X-Request-Id": {
        "description": "The id of the request: the client's, or a new one.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Location": {"description": "The path of the order.", "required": True, "schema": {"type": "string"}},
    "ETag": {
        "description": "The order's version, for `If-Match` and `If-None-Match`.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Idempotent-Replayed": {
        "description": "`true` if an earlier request did it.",
        "schema": {"type": "string", "const": "true"},
    },
    "Link": {"description": 'The next page, as `rel="next"`.', "schema": {"type": "string"}},
    "Allow": {"description": "The methods of this path.", "schema": {"type": "string"}},
    "Retry-After": {
        "description": "When to repeat the request, in seconds.",
        "schema": {"type": "integer", "minimum": 1},
    },
}

ORDER_ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "The `orderId` that posting the order answered.",
    "schema": {"type": "string", "format": "uuid"},
    "example": "01a20375-9296-7c99-b5c0-eef1ea8717b4",
}
PROBLEM_CODE = {
    "name": "code",
    "in": "path",
    "required": True,
    "description": "The last part of a problem's `type`.",
    "schema": {"type": "string"},
    "example": "invalid-order",
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes the request repeatable: the same key with the same body returns the same order.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
}
LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "The last `id` that the client has, which browsers send when they connect again.",
    "schema": {"type": "string"},
}
IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": True,
    "description": "The version that the change is meant for: the order's `ETag`, or its `seq` in quotes. `*` is any.",
    "schema": {"type": "string", "pattern": rf"^(\*|{orders.ETAG}( *, *{orders.ETAG})*)$"},
    "example": '"2"',
}

ANY_REQUEST = (
    "bad-request", "key-in-url", "unauthorized", "scope-missing", "origin-not-allowed", "body-too-large",
    "target-too-long", "unsupported-media-type", "too-many-requests",
    "expectation-failed", "host-not-allowed", "headers-too-large", "too-many-connections", "internal", "unavailable",
)  # fmt: skip
"""Problems that any request may get."""
OUTSIDE = {
    "NotFound": ("not-found",),
    "MethodNotAllowed": ("method-not-allowed",),
    "UpgradeRequired": ("upgrade-required",),
}
"""Answers to requests that are of no operation: another path, another method, a bad handshake of a WebSocket."""
STREAM = ("text/event-stream",)

ORDER_EXAMPLES: Mapping[str, Schema] = {
    "market": {"side": "buy", "amount": "0.01"},
    "limit": {"type": "limit", "side": "buy", "amount": "0.5", "limitPrice": "151.25"},
    "stop": {"side": "buy", "amount": "0.5", "triggerPrice": "120", "triggerWhen": "below"},
    "recurring": {"type": "recurring", "side": "buy", "amount": "12", "slices": 12, "every": "PT5M"},
    "dryRun": {"side": "buy", "amount": "0.01", "dryRun": True},
}

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("POST", EXECUTE): Operation(
        id="postOrder",
        tag="orders",
        summary="Post an order",
        description="Answers once the order is committed. From then on it is executed exactly once, whatever stops"
        " meanwhile. Follow it with `GET /api/orders/{id}` or on the WebSocket of this path.",
        parameters=(IDEMPOTENCY_KEY,),
        body="NewOrder",
        body_examples=ORDER_EXAMPLES,
        answers={
            202: Answered(
                model=Posted,
                description="The order is committed.",
                headers=("Location", "Idempotent-Replayed"),
                links={
                    operation: {"operationId": operation, "parameters": {"id": "$response.body#/orderId"}}
                    for operation in ("getOrder", "explainOrder", "changeOrder", "cancelOrder")
                },
            )
        },
        problems=(
            "malformed-body", "invalid-idempotency-key", "idempotency-key-in-flight", "invalid-order",
            "idempotency-key-reused", "too-many-orders", "queue-full", "unavailable", "halted", "policy",
        ),
    ),
    ("POST", "/api/orders/check"): Operation(
        id="checkOrder",
        tag="orders",
        summary="Check an order without posting it",
        description="What posting this body would answer at this moment: the order, or the problem document. Both with"
        " 200. Nothing is stored, reserved or counted. Not checked is what depends on other orders.",
        body="NewOrder",
        body_optional=True,
        body_examples=ORDER_EXAMPLES,
        answers={200: Answered(model=Checked, description="Whether it would be accepted.")},
    ),
    ("GET", "/api/orders/{id}"): Operation(
        id="getOrder",
        tag="orders",
        summary="Read an order",
        description="The order with its events, the quotes of every venue, and its attempts with their proofs.",
        parameters=(ORDER_ID,),
        query=list_query.ONE_ORDER,
        answers={
            200: Answered(model=Order, part=OrderPart, description="The order.", headers=("ETag",)),
            304: Answered(description="The client has exactly this answer (`If-None-Match`).", media_types=()),
        },
        problems=("order-not-found", "invalid-query", *READING),
    ),
    ("PATCH", "/api/orders/{id}"): Operation(
        id="changeOrder",
        tag="orders",
        summary="Change an order that rests",
        parameters=(ORDER_ID, IF_MATCH),
        body="OrderChange",
        body_examples={"price": {"limitPrice": "150"}, "noExpiry": {"expiresAt": None}},
        answers={
            200: Answered(
                model=Amended,
                description="The order rests with the new values.",
                headers=("ETag", "Idempotent-Replayed"),
            )
        },
        problems=(
            "malformed-body", "invalid-if-match", "order-not-found", "not-resting", "version-mismatch", "policy",
            "invalid-order", "precondition-required", *READING,
        ),
    ),
    ("DELETE", "/api/orders/{id}"): Operation(
        id="cancelOrder",
        tag="orders",
        summary="Cancel an order",
        description="Possible until a transaction was signed for it. Repeating it gives the same answer.",
        parameters=(ORDER_ID,),
        answers={
            200: Answered(
                model=Cancelled,
                description="The order is cancelled, and will never be swapped.",
                headers=("Idempotent-Replayed",),
            )
        },
        problems=("order-not-found", "too-late", *READING),
    ),
    ("GET", "/api/orders/{id}/explain"): Operation(
        id="explainOrder",
        tag="orders",
        summary="Explain an order",
        description="What happened to it, in sentences with figures, and what to do now.",
        parameters=(ORDER_ID,),
        answers={200: Answered(model=Explanation, description="The explanation.")},
        problems=("order-not-found", *READING),
    ),
    ("GET", "/api/orders/{id}/events"): Operation(
        id="streamOrder",
        tag="orders",
        summary="Follow an order with server-sent events",
        description="The data of each event is a message of the WebSocket, its `id` is the `seq`. The stream ends after"
        " the order's last event.",
        parameters=(ORDER_ID, LAST_EVENT_ID),
        query=(event_stream_handlers.AFTER_SEQ,),
        answers={
            200: Answered(description="The events behind the last one.", media_types=STREAM),
            204: Answered(description="The client has the order's last event: nothing follows.", media_types=()),
        },
        problems=("invalid-query", "order-not-found", "not-acceptable", "policy", *READING),
    ),
    ("GET", "/api/events"): Operation(
        id="streamAllOrders",
        tag="orders",
        summary="Follow all orders with server-sent events",
        description="The data of each event is a message of the WebSocket, its `id` is its position in the stream.",
        parameters=(LAST_EVENT_ID,),
        query=(event_stream_handlers.AFTER,),
        answers={200: Answered(description="The events behind a position, or from now on.", media_types=STREAM)},
        problems=("invalid-query", "position-unknown", "not-acceptable", "policy", *READING),
    ),
    ("POST", "/api/orders/{id}/signed"): Operation(
        id="signOrder",
        tag="orders",
        summary="Sign for an order that your own wallet pays",
        description="An order with `payer` waits for the signature of that wallet: its last event has the transaction."
        " The service lands it once it is signed. Repeating the request gives the same answer.",
        parameters=(ORDER_ID,),
        body="SignedTransaction",
        body_examples={"signed": {"transaction": "AgAAAA=="}},
        answers={
            200: Answered(
                model=Signed,
                description="The signature is kept.",
                headers=("Idempotent-Replayed",),
            )
        },
        problems=(
            "malformed-body", "order-not-found", "invalid-order", "no-signature-awaited", "other-transaction", *READING,
        ),
    ),
    ("GET", "/api/orders"): Operation(
        id="listOrders",
        tag="orders",
        summary="List orders",
        description="Newest first.",
        query=list_query.PARAMETERS,
        answers={200: Answered(model=OrdersPage, description="A page of orders.", headers=("Link",))},
        problems=("invalid-query", *READING),
    ),
    ("DELETE", "/api/orders"): Operation(
        id="cancelOrders",
        tag="orders",
        summary="Cancel all orders of a selection",
        description="It means the orders that existed when it began. Repeating it is safe.",
        query=cancel_selection.PARAMETERS,
        answers={200: Answered(model=CancelledAll, description="How many were cancelled.")},
        problems=("invalid-query", "partly-cancelled", *READING),
    ),
    ("GET", "/api/costs"): Operation(
        id="getCosts",
        tag="reports",
        summary="Sum up what orders cost",
        query=costs.PARAMETERS,
        answers={200: Answered(model=Costs, description="The sums.")},
        problems=("invalid-query", *READING),
    ),
    ("GET", "/api/overview"): Operation(
        id="getOverview",
        tag="reports",
        summary="Read the state of the service",
        description="Version, network, defaults, queue and halts. With the scope `admin`, or where no keys are"
        " required, also workers, nodes and wallets.",
        answers={200: Answered(model=Overview, description="The state; a part that cannot be read now is null.")},
        problems=("invalid-query",),
    ),
    ("GET", "/api/quote"): Operation(
        id="getQuote",
        tag="reports",
        summary="Get every venue's quote, without an order",
        description="Exactly as an order would. Nothing is stored, signed or executed.",
        query=quotes.PARAMETERS,
        answers={200: Answered(model=Quotes, description="The quotes.")},
        problems=("invalid-query", "venues-unavailable", *READING),
    ),
    ("GET", "/api/stats"): Operation(
        id="getStats",
        tag="reports",
        summary="Read what became of the orders of the last minutes",
        query=stats.PARAMETERS,
        answers={200: Answered(model=Stats, description="The buckets of time that have orders.")},
        problems=("invalid-query", *READING),
    ),
    ("GET", "/api/venues"): Operation(
        id="listVenues",
        tag="reports",
        summary="Read the state of every venue",
        answers={200: Answered(model=Venues, description="The venues.")},
        problems=("invalid-query", "venues-unavailable", *READING),
    ),
    **WEBHOOK_OPERATIONS,
    ("GET", "/"): Operation(
        id="getFrontPage",
        tag="service",
        summary="List the entry points",
        answers={
            200: Answered(
                model=FrontPage,
                description="JSON, or a page if the client prefers HTML.",
                media_types=("application/json", "text/html"),
            ),
        },
        problems=("page-refused",),
    ),
    ("GET", "/healthz"): Operation(
        id="getHealth",
        tag="service",
        summary="Check that the process runs",
        answers={200: Answered(model=Alive, description="It runs.")},
    ),
    ("GET", "/readyz"): Operation(
        id="getReadiness",
        tag="service",
        summary="Check that an order posted now would be executed",
        answers={
            200: Answered(model=Readiness, description="It would; while `degraded`, it may have to wait."),
            503: Answered(
                model=Readiness,
                description="It would not: `missing` and `causes` have the reasons.",
                headers=("Retry-After",),
            ),
        },
    ),
    ("GET", "/metrics"): Operation(
        id="getMetrics",
        tag="service",
        summary="Read the metrics, in the format of Prometheus",
        answers={
            200: Answered(
                description="The metrics of all processes of the service.",
                media_types=("text/plain", "application/openmetrics-text"),
            )
        },
        problems=("not-found",),
    ),
    ("GET", "/problems/{code}"): Operation(
        id="getProblem",
        tag="service",
        summary="Explain a problem type",
        parameters=(PROBLEM_CODE,),
        answers={200: Answered(model=ProblemExplanation, description="What it means.")},
        problems=("not-found",),
    ),
    ("GET", "/openapi.json"): Operation(
        id="getOpenApi",
        tag="service",
        summary="Read this document",
        answers={200: Answered(description="OpenAPI 3.1.")},
    ),
    ("GET", "/asyncapi.json"): Operation(
        id="getAsyncApi",
        tag="service",
        summary="Read the contract of the WebSocket",
        answers={200: Answered(description="AsyncAPI 3.0.")},
    ),
    ("GET", "/docs"): Operation(
        id="getDocs",
        tag="service",
        summary="Read both contracts as a page",
        answers={200: Answered(description="A page for people.", media_types=("text/html",))},
    ),
}  # fmt: skip
"""By method and path, in the order of the document."""
