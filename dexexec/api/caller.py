"""Who sends a request: the holder of a key, or any client while the service is open."""

from dataclasses import dataclass

from dexexec.domain.api_key import Scope
from dexexec.domain.policy import NO_LIMITS, Policy
from dexexec.errors import ScopeMissingError


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """`owner` is the number of its key, None without one; `name` is the key's, for the log; `secret_id` names the
    secret that it used."""

    owner: int | None
    name: str
    scopes: frozenset[Scope]
    policy: Policy = NO_LIMITS
    secret_id: str = ""

    @property
    def sees(self) -> int | None:
        """Whose orders it may read and change: those of this owner; None: all."""
        return None if self.owner is None or Scope.ADMIN in self.scopes else self.owner

    def require(self, scope: Scope) -> None:
        """Raises `ScopeMissingError` unless its key has the scope."""
        if not any(own.allows(scope) for own in self.scopes):
            raise ScopeMissingError(f"this key lacks the scope {scope}: it has {', '.join(sorted(self.scopes))}")


OPEN = Caller(owner=None, name="", scopes=frozenset({Scope.ADMIN}))
"""The caller of a service that requires no keys."""

NOBODY = Caller(owner=0, name="", scopes=frozenset())
"""Before a caller has shown its key: it may do nothing, and sees the orders of a key that cannot exist."""
