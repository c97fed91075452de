"""Permits signing only for a record that was compared with the chain.

A worker obtains it each time its session with Postgres begins. It names the identity of one Postgres. The statement
that records an attempt checks that again, so an attempt is never written to another record, over any connection.
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
    """What a worker obtains before it takes orders up."""

    def identity(self) -> str | None:
        """The identity of the Postgres where attempts may be recorded; None for any."""

    async def obtain(self) -> None:
        """Return once signing is allowed."""


class Unrestricted:
    """For chains whose ledger is in the record's own Postgres, so both lose the same commits."""

    def identity(self) -> str | None:
        """No restriction."""
        return None

    async def obtain(self) -> None:
        """At once."""


class ComparedRecord:
    """Permits signing once the record has everything that the chains have, for each wallet."""

    def __init__(self, comparisons: Sequence[Comparison], clock: Clock, observer: Observer) -> None:
        self._comparisons = comparisons
        self._clock = clock
        self._observer = observer
        self._identity = ""

    def identity(self) -> str:
        """The identity of the Postgres whose record may be written to; empty before the first permission."""
        return self._identity

    async def obtain(self) -> None:
        """Repeat the comparisons until they succeed."""
        last_reason = ""
        while True:
            try:
                identities = {await comparison.ensure() for comparison in self._comparisons}
            except (UnavailableError, VenueError) as error:
                if str(error) != last_reason:
                    last_reason = str(error)
                    self._observer.signing_stopped(last_reason)
            else:
                # More than one: Postgres was replaced between the comparisons of two wallets.
                if len(identities) == 1:
                    [self._identity] = identities
                    break
            with suppress(UnavailableError):
                for comparison in self._comparisons:
                    await comparison.stopped()
            raise_if_cancelled()
            await self._clock.sleep(PAUSE)
        if last_reason:
            self._observer.signing_resumed()
        # An identity is made of a system identifier and a timeline; a managed Postgres may hide one of them.
        if not all(self._identity.split("/")):
            self._observer.postgres_identity_incomplete(self._identity)
