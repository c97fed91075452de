"""Refusals of changes to webhooks."""

from dexexec.client.problems import ConflictError, NotFoundError, UnprocessableError


class WebhookNotFoundError(NotFoundError):
    """The key has no such webhook."""

    code = "webhook-not-found"


class WebhookNameTakenError(ConflictError):
    """The key has a webhook of this name already."""

    code = "webhook-name-taken"


class TooManyWebhooksError(ConflictError):
    """The key has as many webhooks as a key may have."""

    code = "too-many-webhooks"


class WebhookDisabledError(ConflictError):
    """Nothing is sent to a disabled webhook."""

    code = "webhook-disabled"


class InvalidWebhookError(UnprocessableError):
    """One or more fields of a webhook are invalid: `fields` names them."""

    code = "invalid-webhook"
