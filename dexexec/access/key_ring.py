"""The keys that one API process accepts: all of them in memory, read again every half second.

So no request waits for Postgres, and a key that is revoked or expires ends within a second, in all processes. While
Postgres does not answer, what was read last stays valid for a minute; after that every request gets 503.
"""

import asyncio
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import raise_if_cancelled
from dexexec.domain.api_key import ApiKey
from dexexec.domain.api_token import ApiToken, parse_token
from dexexec.errors import UnavailableError
from dexexec.observe.observer import Observer
from dexexec.store.api_keys import StoredSecret

READ_SECONDS = 0.5
"""How often all keys are read: half of the second within which a revoked key must end."""
CHECK_SECONDS = 0.25
"""How often it is checked whether the keys of open sockets are still valid."""
UNKNOWN_READ_SECONDS = 0.1
"""The shortest time between two reads. A token that is not known waits for the next read, as its key may be new; so
however many strangers guess, they cause ten reads per second."""
TRUSTED_SECONDS = 60.0
"""How long keys are believed that cannot be read again."""
USE_SECONDS = 10.0
"""How often the last use of a secret is written."""

_NO_DIGEST = bytes(32)


class KeySource(Protocol):
    """The part of `dexexec.store.api_keys.ApiKeyTable` that the ring uses. Both methods raise `UnavailableError`."""

    async def secrets(self) -> Sequence[StoredSecret]:
        """All secrets, those that can no longer be used too."""

    async def mark_used(self, used: Mapping[str, float]) -> None:
        """Note when secrets were last used, as seconds before now by id."""


class Refusal(StrEnum):
    """Why a token is refused: for the log. The client is never given the difference."""

    MISSING = "no key was sent"
    MALFORMED = "it is no key"
    UNKNOWN = "the key is unknown"
    WRONG = "the secret is wrong"
    REVOKED = "the key is revoked"
    EXPIRED = "the key has expired"
    REPLACED = "the secret was replaced by a rotation, and its time is over"


@dataclass(frozen=True, slots=True)
class Accepted:
    """A token that is valid: its key, and the id of its secret."""

    key: ApiKey
    secret_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A token that is not valid. `name` is the key's if the token's id names one."""

    why: Refusal
    name: str = ""


@dataclass(frozen=True, slots=True)
class _Held:
    """A secret as it was read. `ends_at` is when it expires (monotonic seconds)."""

    digest: bytes
    key: ApiKey
    ends_at: float
    replaced: bool


class KeyRing:
    """The keys of one process. `run` must be running; it calls `check` again and again, to end what used a key."""

    def __init__(
        self, source: KeySource, clock: Clock, observer: Observer, check: Callable[[], None] = lambda: None
    ) -> None:
        self._source = source
        self._clock = clock
        self._observer = observer
        self._check = check
        self._held: dict[str, _Held] = {}
        self._read_at = float("-inf")
        """When the last read that succeeded began (monotonic seconds, as all times here)."""
        self._waiting: list[asyncio.Future[None]] = []
        self._wanted = asyncio.Event()
        self._used: dict[str, float] = {}
        self._written: dict[str, float] = {}

    async def read(self) -> None:
        """Read all keys. Raises `UnavailableError`."""
        # Before the statement: what it takes to arrive must not prolong a key.
        now = self._clock.monotonic()
        held = {}
        for secret in await self._source.secrets():
            left = secret.seconds_left
            ends_at = float("inf") if left is None else now + left
            held[secret.id] = _Held(secret.digest, secret.key, ends_at, replaced=secret.replaced)
        self._held = held
        self._read_at = now

    def has_valid(self) -> bool:
        """Whether a client can use any key now."""
        return any(self.is_valid(secret_id) for secret_id in self._held)

    def is_valid(self, secret_id: str) -> bool:
        """Whether a secret that was accepted once still is. Without Postgres this stays as it was last read."""
        # A row that was deleted counts as revoked: the operator has removed it for a reason.
        held = self._held.get(secret_id)
        return held is not None and self._refusal(held) is None

    async def identify(self, text: str) -> Accepted | Refused:
        """The key of a token. Raises `UnavailableError` if the keys could not be read for too long."""
        token = parse_token(text)
        if token is None:
            return Refused(Refusal.MALFORMED)
        found = self._match(token)
        if isinstance(found, Refused):
            # Its key may have been made a moment ago. All refusals wait, so that their times are alike.
            await self._read_again()
            found = self._match(token)
        if isinstance(found, Accepted):
            self._used[found.secret_id] = self._clock.monotonic()
        return found

    async def run(self) -> None:
        """Read the keys again and again, write when they were used, and have them checked."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read_forever())
            tasks.create_task(self._check_forever())

    async def _read_forever(self) -> None:
        down_since: float | None = None
        while True:
            raise_if_cancelled()
            # Taken before the read: a token that arrives during it may be of a key that this read does not see.
            waiting, self._waiting = self._waiting, []
            self._wanted.clear()
            try:
                await self.read()
                _answer(waiting, None)
                await self._write_uses()
            except UnavailableError as error:
                _answer(waiting, error)
                if down_since is None:
                    down_since = self._clock.monotonic()
                    self._observer.server_unavailable("reading API keys", error)
            else:
                if down_since is not None:
                    self._observer.server_recovered("reading API keys", self._clock.monotonic() - down_since)
                down_since = None
            await self._pause()

    async def _check_forever(self) -> None:
        # Beside the reads: one that hangs must not keep a key alive that expires meanwhile.
        while True:
            self._check()
            await asyncio.sleep(CHECK_SECONDS)

    def _match(self, token: ApiToken) -> Accepted | Refused:
        if self._clock.monotonic() - self._read_at > TRUSTED_SECONDS:
            raise UnavailableError("the API keys cannot be read")
        held = self._held.get(token.id)
        # Compared in any case, and in constant time: the answer's time must not depend on the secret.
        same = hmac.compare_digest(held.digest if held else _NO_DIGEST, token.digest())
        if held is None:
            return Refused(Refusal.UNKNOWN)
        if not same:
            return Refused(Refusal.WRONG, held.key.name)
        refusal = self._refusal(held)
        return Refused(refusal, held.key.name) if refusal else Accepted(held.key, token.id)

    def _refusal(self, held: _Held) -> Refusal | None:
        if held.key.revoked_at is not None:
            return Refusal.REVOKED
        if self._clock.monotonic() < held.ends_at:
            return None
        return Refusal.REPLACED if held.replaced else Refusal.EXPIRED

    async def _read_again(self) -> None:
        """Wait for the next read that begins from here on. Raises `UnavailableError`."""
        read = asyncio.get_running_loop().create_future()
        self._waiting.append(read)
        self._wanted.set()
        await read

    async def _pause(self) -> None:
        await asyncio.sleep(UNKNOWN_READ_SECONDS)
        try:
            async with asyncio.timeout(READ_SECONDS - UNKNOWN_READ_SECONDS):
                await self._wanted.wait()
        except TimeoutError:
            pass

    async def _write_uses(self) -> None:
        """Write the last uses that are due: the first one of each secret at once, so that it is seen."""
        now = self._clock.monotonic()
        due = {
            secret_id: at
            for secret_id, at in self._used.items()
            if now - self._written.get(secret_id, float("-inf")) >= USE_SECONDS
        }
        if not due:
            return
        await self._source.mark_used({secret_id: now - at for secret_id, at in due.items()})
        for secret_id, at in due.items():
            self._written[secret_id] = now
            if self._used.get(secret_id) == at:  # not used again while it was written
                del self._used[secret_id]


def _answer(waiting: Sequence[asyncio.Future[None]], error: UnavailableError | None) -> None:
    for read in waiting:
        if read.done():  # its client has gone
            continue
        if error is None:
            read.set_result(None)
        else:
            read.set_exception(error)
