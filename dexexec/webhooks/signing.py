"""Signs messages after the Standard Webhooks specification, with its library."""

from base64 import b64encode
from collections.abc import Iterable
from datetime import UTC, datetime

from standardwebhooks import Webhook

SECRET_BYTES = 32
PREFIX = "whsec_"


def new_secret(random: bytes) -> str:
    """A secret made of `SECRET_BYTES` random bytes."""
    if len(random) != SECRET_BYTES:
        raise ValueError(f"a secret is made of {SECRET_BYTES} random bytes")
    return PREFIX + b64encode(random).decode()


def signed_headers(secrets: Iterable[str], message_id: str, payload: str, *, unix_ms: int) -> dict[str, str]:
    """The headers of a message that is sent now. Of several secrets each signs: a receiver may have either."""
    seconds = unix_ms // 1000
    at = datetime.fromtimestamp(seconds, UTC)
    signatures = [Webhook(secret).sign(message_id, at, payload) for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(signatures),
    }
