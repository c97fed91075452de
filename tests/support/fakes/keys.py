"""The keys of clients without Postgres, on a clock that a test moves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from secrets import token_bytes

from dexexec.clock import Clock
from dexexec.domain.api_key import ApiKey, Scope
from dexexec.domain.api_token import ID_BYTES, SECRET_BYTES, ApiToken, new_token
from dexexec.domain.policy import NO_LIMITS, Policy
from dexexec.errors import UnavailableError
from dexexec.store.api_keys import StoredSecret


@dataclass(slots=True)
class _Secret:
    token: ApiToken
    owner: int
    ends_at: float | None = None


@dataclass(slots=True)
class MemoryKeys:
    """A `KeySource`, and what the command does. While `down`, nothing can be read."""

    clock: Clock
    down: bool = False
    reads: int = 0
    used: dict[str, float] = field(default_factory=dict)
    """When each secret was last used, as it was written (monotonic seconds)."""
    _keys: list[ApiKey] = field(default_factory=list)
    _ends: dict[int, float] = field(default_factory=dict)
    _secrets: list[_Secret] = field(default_factory=list)

    def create(self, name: str, *scopes: Scope, expires_in: float | None = None, policy: Policy = NO_LIMITS) -> str:
        """A new key (scope trade, unless others are given); what its client sends."""
        owner = len(self._keys) + 1
        self._keys.append(ApiKey(owner=owner, name=name, scopes=frozenset(scopes or (Scope.TRADE,)), policy=policy))
        if expires_in is not None:
            self._ends[owner] = self.clock.monotonic() + expires_in
        return self._add(owner)

    def revoke(self, name: str) -> None:
        """End a key."""
        index = self._index(name)
        self._keys[index] = replace(self._keys[index], revoked_at=datetime.now(UTC))

    def rotate(self, name: str, keep: float) -> str:
        """What the client of the key sends from now on; the former secrets end after `keep` seconds."""
        owner = self._keys[self._index(name)].owner
        for secret in self._secrets:
            if secret.owner == owner:
                secret.ends_at = self.clock.monotonic() + keep
        return self._add(owner)

    def end(self, token: str) -> None:
        """End one secret now."""
        for secret in self._secrets:
            if secret.token.text() == token:
                secret.ends_at = self.clock.monotonic()

    def forget(self, name: str) -> None:
        """Remove a key with its secrets, as an operator may in Postgres."""
        key = self._keys[self._index(name)]
        self._secrets = [secret for secret in self._secrets if secret.owner != key.owner]

    async def secrets(self) -> Sequence[StoredSecret]:
        if self.down:
            raise UnavailableError("down")
        self.reads += 1
        now = self.clock.monotonic()
        found = []
        for secret in self._secrets:
            ends = [at for at in (secret.ends_at, self._ends.get(secret.owner)) if at is not None]
            found.append(
                StoredSecret(
                    id=secret.token.id,
                    digest=secret.token.digest(),
                    key=self._keys[secret.owner - 1],
                    seconds_left=min(ends) - now if ends else None,
                    replaced=secret.ends_at is not None,
                )
            )
        return found

    async def mark_used(self, used: Mapping[str, float]) -> None:
        if self.down:
            raise UnavailableError("down")
        now = self.clock.monotonic()
        self.used |= {secret_id: now - ago for secret_id, ago in used.items()}

    def _add(self, owner: int) -> str:
        token = new_token(token_bytes(ID_BYTES + SECRET_BYTES))
        self._secrets.append(_Secret(token, owner))
        return token.text()

    def _index(self, name: str) -> int:
        return next(i for i, key in enumerate(self._keys) if key.name == name)
