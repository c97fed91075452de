"""Refusals of changes to webhooks. The tree is in `errors`."""

from dexexec.errors import InvalidOrderError, RequestError


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


class InvalidWebhookError(InvalidOrderError):
    """One or more fields of a webhook are invalid."""

    code = "invalid-webhook"
    http_status = 422
    title = "The webhook has invalid fields"


class WebhookNotFoundError(RequestError):
    """There is no webhook with this id, or it is another key's."""

    code = "webhook-not-found"
    http_status = 404
    title = "There is no such webhook"
