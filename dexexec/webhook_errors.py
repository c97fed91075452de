"""Refusals of changes to webhooks. The tree is in `errors`."""

from dexexec.errors import RequestError


class WebhookNameTakenError(RequestError):
    """The key has a webhook of this name already."""

    code = "webhook-name-taken"
    http_status = 409
    title = "There is a webhook of this name already"


class TooManyWebhooksError(RequestError):
    """The key has as many webhooks as a key may have."""

    code = "too-many-webhooks"
    http_status = 409
    title = "The key has too many webhooks"


class WebhookDisabledError(RequestError):
    """Nothing is sent to a disabled webhook."""

    code = "webhook-disabled"
    http_status = 409
    title = "The webhook is disabled"
