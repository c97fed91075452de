"""Refusals by what an operator has set: a halt of signing, or the policy of a key. The tree is in `errors`."""

from dexexec.domain.halt import Halt
from dexexec.errors import RequestError


class HaltedError(RequestError):
    """An operator has halted signing, for this key or for all. Orders that were accepted before wait, and can be
    cancelled; dry runs are accepted."""

    code = "halted"
    http_status = 503
    title = "Signing is halted"
    retryable = True
    retry_after = 5.0

    def __init__(self, halt: Halt) -> None:
        super().__init__(halt.detail)
        self.halt = halt
