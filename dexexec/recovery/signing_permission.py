"""May this process sign? Only into a record that was compared with the chain, and only as long as it is that one.

A worker asks each time its session with Postgres begins. What is permitted is the identity of one Postgres: the
statement that records an attempt looks at it again, so that an attempt is never written to another record, whichever
connection it comes over.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import raise_if_cancelled
from dexexec.errors import UnavailableError
from dexexec.observe.observer import Observer
from dexexec.recovery.chain_comparison import Comparison
from dexexec.venue import VenueError

PAUSE = 1.0


class SigningPermission(Protocol):
    """What a worker waits for before it takes orders up."""

    def identity(self) -> str | None:
        """The identity of the Postgres where attempts may be recorded; None when any may be used."""

    async def obtain(self) -> None:
        """Returns once orders may be signed for."""


class Unrestricted:
    """For chains whose ledger is in the record's own Postgres, so that neither has what the other lacks."""

    def identity(self) -> str | None:
        """No restriction."""
        return None

    async def obtain(self) -> None:
        """At once."""


class ComparedRecord:
    """Permits once the record has all that the chains have, for each wallet."""

    def __init__(self, comparisons: Sequence[Comparison], clock: Clock, observer: Observer) -> None:
        self._comparisons, self._clock, self._observer = comparisons, clock, observer
        self._identity = ""

    def identity(self) -> str:
        """Of the Postgres whose record may be written to; empty before the first permission."""
        return self._identity

    async def obtain(self) -> None:
        """As often as it takes, for as long as it takes."""
        told = ""
        while True:
            try:
                identities = {await one.ensure() for one in self._comparisons}
            except (UnavailableError, VenueError) as error:
                if str(error) != told:
                    told = str(error)
                    self._observer.signing_stopped(told)
            else:
                if len(identities) == 1:
                    [self._identity] = identities
                    break
            with suppress(UnavailableError):
                for one in self._comparisons:
                    await one.stopped()
            raise_if_cancelled()
            await self._clock.sleep(PAUSE)
        if told:
            self._observer.signing_resumed()
        if not all(self._identity.split("/")):
            self._observer.postgres_identity_incomplete(self._identity)
