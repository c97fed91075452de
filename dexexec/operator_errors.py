"""Refusals by what an operator has set: a halt of signing, or the policy of a key. The tree is in `errors`."""

from collections.abc import Sequence

from dexexec.domain.halt import Halt
from dexexec.domain.policy_check import Breach
from dexexec.errors import FieldProblem, RequestError


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


class PolicyError(RequestError):
    """The order breaks a limit of the key that posts it. The document has the limit's name as `policy`, the `limit` and
    what was `given`; `errors` names every field that is over one."""

    code = "policy"
    http_status = 403
    title = "The key's policy does not allow this"

    def __init__(self, breaches: Sequence[Breach]) -> None:
        first = breaches[0]
        super().__init__(first.detail)
        self.breaches = tuple(breaches)
        self.fields = [
            FieldProblem(each.field, f"is {each.given}", f"{each.policy}: {each.limit}") for each in breaches
        ]
        self.about = {"policy": first.policy, "limit": first.limit, "given": first.given}

    @property
    def daily(self) -> bool:
        """Whether the order may fit on another day."""
        return all(each.daily for each in self.breaches)


class TooManyRequestsError(RequestError):
    """The key sends more requests than its policy allows per second, over all its clients and all processes."""

    code = "too-many-requests"
    http_status = 429
    title = "Too many requests with this key"
    retryable = True

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after
