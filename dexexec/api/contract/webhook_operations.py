"""The operations of webhooks."""

from collections.abc import Mapping

from dexexec.api import webhooks
from dexexec.api.contract.operation import READING, Answered, Operation
from dexexec.api.contract.webhook_answers import Deliveries, Delivery, Removed, Replayed, Resent, Webhook, Webhooks

ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "The `id` of the webhook.",
    "schema": {"type": "string", "format": "uuid"},
    "example": "01a20375-9296-7c99-b5c0-eef1ea8717b4",
}
# Of each route with a body and an id, and of those that also need an enabled webhook.
CHANGING = ("malformed-body", "webhook-not-found", "invalid-webhook", *READING)
SENDING = ("webhook-disabled", *CHANGING)

WEBHOOK_OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", "/api/webhooks"): Operation(
        id="listWebhooks",
        tag="webhooks",
        summary="List webhooks",
        answers={200: Answered(model=Webhooks, description="The webhooks, without their secrets.")},
        problems=("invalid-query", *READING),
    ),
    ("POST", "/api/webhooks"): Operation(
        id="addWebhook",
        tag="webhooks",
        summary="Make a webhook",
        description="It gets every event that is committed after the answer. The answer has the secret, once.",
        body="NewWebhook",
        body_examples={"ended": {"name": "books", "url": "https://hooks.example.com/x", "statuses": ["confirmed"]}},
        answers={201: Answered(model=Webhook, description="The webhook with its secret.", headers=("Location",))},
        problems=("malformed-body", "invalid-webhook", "webhook-name-taken", "too-many-webhooks", *READING),
    ),
    ("GET", "/api/webhooks/{id}"): Operation(
        id="getWebhook",
        tag="webhooks",
        summary="Read a webhook",
        parameters=(ID,),
        answers={200: Answered(model=Webhook, description="The webhook, without its secret.")},
        problems=("webhook-not-found", *READING),
    ),
    ("PATCH", "/api/webhooks/{id}"): Operation(
        id="changeWebhook",
        tag="webhooks",
        summary="Change, disable or enable a webhook",
        parameters=(ID,),
        body="WebhookChange",
        body_examples={"disable": {"enabled": False}},
        answers={200: Answered(model=Webhook, description="The webhook as it is now.")},
        problems=CHANGING,
    ),
    ("DELETE", "/api/webhooks/{id}"): Operation(
        id="removeWebhook",
        tag="webhooks",
        summary="Remove a webhook with its deliveries",
        parameters=(ID,),
        answers={200: Answered(model=Removed, description="It is removed.")},
        problems=("webhook-not-found", *READING),
    ),
    ("GET", "/api/webhooks/{id}/deliveries"): Operation(
        id="listDeliveries",
        tag="webhooks",
        summary="List the deliveries of a webhook",
        parameters=(ID,),
        query=webhooks.PARAMETERS,
        answers={200: Answered(model=Deliveries, description="A page, the newest first.")},
        problems=("invalid-query", "webhook-not-found", *READING),
    ),
    ("POST", "/api/webhooks/{id}/resend"): Operation(
        id="resendDeliveries",
        tag="webhooks",
        summary="Send deliveries again",
        description="Those that are named, or all that failed. They wait again, with all tries before them.",
        parameters=(ID,),
        body="Resend",
        body_optional=True,
        body_examples={"failed": {}, "some": {"deliveries": [17, 18]}},
        answers={200: Answered(model=Resent, description="How many wait again.")},
        problems=SENDING,
    ),
    ("POST", "/api/webhooks/{id}/replay"): Operation(
        id="replayEvents",
        tag="webhooks",
        summary="Send events again, delivered or not",
        parameters=(ID,),
        body="Replay",
        body_examples={"order": {"orderId": "01a20375-9296-7c99-b5c0-eef1ea8717b4", "fromSeq": 1}},
        answers={202: Answered(model=Replayed, description="They wait to be sent.")},
        problems=("order-not-found", "position-unknown", *SENDING),
    ),
    ("POST", "/api/webhooks/{id}/test"): Operation(
        id="testWebhook",
        tag="webhooks",
        summary="Send a test message",
        parameters=(ID,),
        answers={202: Answered(model=Delivery, description="The message waits to be sent, once.")},
        problems=("webhook-not-found", "webhook-disabled", *READING),
    ),
    ("POST", "/api/webhooks/{id}/rotate"): Operation(
        id="rotateWebhook",
        tag="webhooks",
        summary="Make another secret",
        description="The former one signs beside it for `keepSeconds`, a day by default.",
        parameters=(ID,),
        body="Rotation",
        body_optional=True,
        body_examples={"week": {"keepSeconds": 604800}},
        answers={200: Answered(model=Webhook, description="The webhook with its new secret.")},
        problems=CHANGING,
    ),
}
"""By method and path, as those of the rest."""
