"""Refusals of transactions that clients have signed."""

from collections.abc import Mapping

from dexexec.errors import RequestError


class NoSignatureAwaitedError(RequestError):
    """The order does not wait for a signature of its client. `orderStatus` is its status."""

    code = "no-signature-awaited"
    http_status = 409
    title = "The order waits for no signature"

    def __init__(self, detail: str, about: Mapping[str, object]) -> None:
        super().__init__(detail)
        self.about = about


class OtherTransactionError(RequestError):
    """The transaction is not the one that the order waits for: it was changed, or a newer one was handed out. That one
    is in `transaction`."""

    code = "other-transaction"
    http_status = 409
    title = "The order waits for another transaction"

    def __init__(self, detail: str, about: Mapping[str, object]) -> None:
        super().__init__(detail)
        self.about = about
