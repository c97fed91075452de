"""API keys and their secrets: made, listed, revoked and rotated by the operator's command, read by the API's key ring.

Times are Postgres': the clocks of the processes that check a key may differ.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from dexexec.domain.api_key import ApiKey, Scope
from dexexec.domain.api_token import ApiToken
from dexexec.domain.policy import NO_LIMITS, Policy
from dexexec.domain.policy_json import policy_json, read_policy
from dexexec.errors import StartupError
from dexexec.store.database import Database
from dexexec.store.rows import fetch_row, fetch_rows

# Keys that were revoked or have expired are read as well: their refusals are logged with the reason.
SECRETS = """
SELECT s.id, s.digest, k.id AS owner, k.name, k.scopes, k.policy, k.created_at, k.expires_at, k.revoked_at,
       extract(epoch FROM least(s.expires_at, k.expires_at) - clock_timestamp())::float8 AS seconds_left,
       coalesce(s.expires_at < coalesce(k.expires_at, 'infinity'), false) AS replaced
FROM api_key_secrets s JOIN api_keys k ON k.id = s.key_id
"""
LIST = """
SELECT k.id AS owner, k.name, k.scopes, k.policy, k.created_at, k.expires_at, k.revoked_at,
       s.id, s.created_at AS secret_created_at, s.expires_at AS secret_expires_at, s.last_used_at,
       coalesce(least(s.expires_at, k.expires_at) > clock_timestamp(), true) AND k.revoked_at IS NULL AS valid
FROM api_keys k JOIN api_key_secrets s ON s.key_id = k.id
ORDER BY k.created_at, k.id, s.created_at, s.id
"""
CREATE = """
WITH k AS (
    INSERT INTO api_keys (name, scopes, policy, expires_at)
    VALUES (%(name)s, %(scopes)s::text[], %(policy)s, clock_timestamp() + %(expires_in)s::interval)
    RETURNING id, name, scopes, policy, created_at, expires_at, revoked_at
), s AS (
    INSERT INTO api_key_secrets (id, key_id, digest) SELECT %(secret_id)s, k.id, %(digest)s FROM k
)
SELECT id AS owner, name, scopes, policy, created_at, expires_at, revoked_at FROM k
"""
REVOKE = "UPDATE api_keys SET revoked_at = clock_timestamp() WHERE name = %s AND revoked_at IS NULL RETURNING id"
# The row is locked, so that of two rotations at once the second one sees the secret that the first one made.
LOCKED = """
SELECT id, expires_at <= clock_timestamp() AS expired FROM api_keys WHERE name = %s AND revoked_at IS NULL FOR UPDATE
"""
# A secret that was to end earlier does. After an expired key is prolonged, no former secret of it works again.
END_SECRETS = """
UPDATE api_key_secrets SET expires_at = least(expires_at, clock_timestamp() + %(keep)s) WHERE key_id = %(key)s
"""
# Changed under the lock of its row: of two changes of single limits at once, none undoes the other.
POLICY = "SELECT id, policy FROM api_keys WHERE name = %s AND revoked_at IS NULL"
SET_POLICY = "UPDATE api_keys SET policy = %s WHERE id = %s"
ADD = "INSERT INTO api_key_secrets (id, key_id, digest) VALUES (%(id)s, %(key)s, %(digest)s)"
PROLONG = "UPDATE api_keys SET expires_at = clock_timestamp() + %(expires_in)s::interval WHERE id = %(key)s"
# In the order of ids: several processes may write at once, and must not wait for each other in a circle.
MARK_USED = """
WITH used AS (
    SELECT id, clock_timestamp() - ago * interval '1 s' AS at FROM unnest(%s::text[], %s::float8[]) AS t(id, ago)
), locked AS (
    SELECT s.id FROM api_key_secrets s WHERE s.id IN (SELECT id FROM used) ORDER BY s.id FOR NO KEY UPDATE
)
UPDATE api_key_secrets s SET last_used_at = greatest(s.last_used_at, used.at)
FROM used JOIN locked USING (id) WHERE s.id = used.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSecret:
    """A secret of a key. `seconds_left` is until it expires (None: never), negative once it has. `replaced`: it ends
    before its key, since a rotation has made another."""

    id: str
    digest: bytes = field(repr=False)
    key: ApiKey
    seconds_left: float | None
    replaced: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSecret:
    """A secret as the operator sees it. `valid`: a client can use it now."""

    id: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    valid: bool


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A key with its secrets, the oldest first."""

    key: ApiKey
    secrets: tuple[ListedSecret, ...]


class ApiKeyTable:
    """The secrets of all keys, for the key ring of a process."""

    def __init__(self, database: Database, unreadable: Callable[[str, Exception], None]) -> None:
        """`unreadable` is called with the name of a key whose row this version cannot read."""
        self._database = database
        self._unreadable = unreadable

    async def secrets(self) -> list[StoredSecret]:
        """Return all secrets, those that can no longer be used too. Raises `UnavailableError`."""
        async with self._database.connection() as connection:
            rows = await fetch_rows(connection, SECRETS)
        found = []
        for row in rows:
            try:
                key = _read_key(row, read_policy(row.policy))
            except (ValueError, TypeError, KeyError) as error:
                # A newer version or a person has written it. Its limits are unknown, so it must not be used.
                self._unreadable(row.name, error)
                continue
            secret = StoredSecret(
                id=row.id, digest=row.digest, key=key, seconds_left=row.seconds_left, replaced=row.replaced
            )
            found.append(secret)
        return found

    async def mark_used(self, used: Mapping[str, float]) -> None:
        """Note when secrets were last used, as seconds before now by id. Raises `UnavailableError`."""
        async with self._database.connection() as connection:
            await connection.execute(MARK_USED, (list(used), list(used.values())))


async def create_key(
    database: Database,
    name: str,
    scopes: Sequence[Scope],
    expires_in: timedelta | None,
    token: ApiToken,
    *,
    policy: Policy = NO_LIMITS,
) -> ApiKey:
    """Store a new key with its first secret. Raises `StartupError` if the name is taken, and `UnavailableError`."""
    values: dict[str, object] = {
        "name": name,
        "scopes": [scope.value for scope in scopes],
        "policy": Jsonb(policy_json(policy)),
        "expires_in": expires_in,
        "secret_id": token.id,
        "digest": token.digest(),
    }
    try:
        async with database.connection(passing=(UniqueViolation,)) as connection:
            return _read_key(await fetch_row(connection, CREATE, values))
    except UniqueViolation:
        raise StartupError(f"there is a key {name} already: rotate it, revoke it, or choose another name") from None


async def revoke_key(database: Database, name: str) -> bool:
    """Revoke a key for good. Returns whether there was one. Raises `UnavailableError`."""
    async with database.connection() as connection:
        return await fetch_row(connection, REVOKE, (name,)) is not None


async def rotate_key(
    database: Database, name: str, token: ApiToken, *, keep: timedelta, expires_in: timedelta | None
) -> bool:
    """Give a key another secret; the former ones work for `keep` longer at most. `expires_in` prolongs the key (None:
    it ends when it would have). Returns whether there is such a key. Raises `StartupError` if it has expired and is
    not prolonged, and `UnavailableError`."""
    async with database.connection() as connection, connection.transaction():
        row = await fetch_row(connection, LOCKED, (name,))
        if row is None:
            return False
        if row.expired and expires_in is None:
            raise StartupError(f"the key {name} has expired: prolong it with --expires")
        values = {"key": row.id, "keep": timedelta() if row.expired else keep, "expires_in": expires_in}
        await connection.execute(END_SECRETS, values)
        await connection.execute(ADD, {"id": token.id, "key": row.id, "digest": token.digest()})
        if expires_in is not None:
            await connection.execute(PROLONG, values)
        return True


async def policy_of_key(database: Database, name: str) -> dict[str, object] | None:
    """Return the policy of a key as JSON; None if there is no such key. Raises `UnavailableError`."""
    async with database.connection() as connection:
        row = await fetch_row(connection, POLICY, (name,))
    return None if row is None else row.policy


async def change_policy(
    database: Database, name: str, change: Callable[[Mapping[str, object]], dict[str, object]]
) -> dict[str, object] | None:
    """Replace the policy of a key by what `change` makes of it, and return that; None if there is no such key. Raises
    what `change` raises, and `UnavailableError`."""
    async with database.connection() as connection, connection.transaction():
        row = await fetch_row(connection, f"{POLICY} FOR UPDATE", (name,))
        if row is None:
            return None
        policy = change(row.policy)
        await connection.execute(SET_POLICY, (Jsonb(policy), row.id))
        return policy


async def list_keys(database: Database) -> list[ListedKey]:
    """Return all keys, the oldest first. Raises `UnavailableError`."""
    async with database.connection() as connection:
        rows = await fetch_rows(connection, LIST)
    keys: dict[int, ApiKey] = {}
    secrets: dict[int, list[ListedSecret]] = {}
    for row in rows:
        keys[row.owner] = _read_key(row)
        secret = ListedSecret(
            id=row.id,
            created_at=row.secret_created_at,
            expires_at=row.secret_expires_at,
            last_used_at=row.last_used_at,
            valid=row.valid,
        )
        secrets.setdefault(row.owner, []).append(secret)
    return [ListedKey(key, tuple(secrets[owner])) for owner, key in keys.items()]


def _read_key(row: Any, policy: Policy = NO_LIMITS) -> ApiKey:
    """Raises `ValueError` for a row that this version cannot read."""
    return ApiKey(
        owner=row.owner,
        name=row.name,
        scopes=frozenset(Scope(scope) for scope in row.scopes),
        policy=policy,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
