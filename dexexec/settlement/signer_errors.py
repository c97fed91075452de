"""Why the signer of a wallet gave no usable signature."""

from enum import StrEnum

from dexexec.errors import DexexecError


class SignerTrouble(StrEnum):
    """What was wrong with a signer. None of it is a venue's fault."""

    SILENT = "silent"  # no answer within its time limit
    REFUSED = "refused"  # it answered that it does not sign this
    UNREACHABLE = "unreachable"  # no connection, or an error of the service
    BAD_ANSWER = "bad-answer"  # its answer cannot be read
    WRONG_SIGNATURE = "wrong-signature"  # its signature is not of this wallet over this message
    TOO_LATE = "too-late"  # the signature came when the message was too old to be sent
    NOT_CONFIGURED = "not-configured"  # this worker has no wallet of that name


class SignerError(DexexecError):
    """The signer gave no usable signature: nothing was recorded, and nothing may be sent. `retry_in_ms`: it is paused,
    and not tried again before (milliseconds)."""

    code = "signer"
    retryable = True

    def __init__(self, trouble: SignerTrouble, detail: str, *, retry_in_ms: float | None = None) -> None:
        super().__init__(detail)
        self.trouble = trouble
        self.retry_in_ms = retry_in_ms
