"""Ends the quarantine of venues whose quotes simulated swaps confirm on their new programs."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import raise_if_cancelled
from dexexec.domain.program_version import Quarantine
from dexexec.errors import UnavailableError
from dexexec.observe.untrusted_text import clean
from dexexec.settlement.quote_proof import QuoteProof, Unproven
from dexexec.venue import AnyVenue

CHECK_SECONDS = 2.0
"""Between two looks for quarantined venues."""
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 120.0
"""Between two comparisons of a venue, which double: they take requests from orders, and a rollback or an update of the
service takes a while."""


class Quarantines(Protocol):
    """The part of `dexexec.feed.quarantine_watch.QuarantineWatch` that is used here."""

    def all(self) -> Sequence[Quarantine]:
        """All quarantines, as of the last look."""

    async def look(self) -> None:
        """Read the quarantines now. Raises `UnavailableError`."""


class LiftRecord(Protocol):
    """The part of `dexexec.store.ProgramVersions` that is used here."""

    async def accept(self, quarantine: Quarantine, by: str) -> bool:
        """Accept the code of a quarantined program. Raises `UnavailableError`."""

    async def differ(self, quarantine: Quarantine, difference: str) -> None:
        """Record what simulated swaps showed. Raises `UnavailableError`."""


class LiftObserver(Protocol):
    """Receives what operators should see of comparisons."""

    def quotes_confirmed(self, venue: str, program: str, swaps: int) -> None:
        """Simulated swaps were equal to the quotes of a quarantined venue."""

    def quotes_not_confirmed(self, venue: str, program: str, why: str) -> None:
        """Simulated swaps did not confirm the quotes of a quarantined venue."""


class QuarantineLift:
    """Compares the quarantined ones of `venues` (by name) with swaps of `pair`, until they are confirmed."""

    def __init__(
        self,
        quarantines: Quarantines,
        venues: Mapping[str, AnyVenue],
        proof: QuoteProof,
        record: LiftRecord,
        clock: Clock,
        *,
        observer: LiftObserver,
        pair: tuple[str, str],
    ) -> None:
        self._quarantines = quarantines
        self._venues = venues
        self._proof = proof
        self._record = record
        self._clock = clock
        self._observer = observer
        self._pair = pair
        self._again_at: dict[tuple[str, str], float] = {}
        self._pauses: dict[tuple[str, str], float] = {}

    async def run(self) -> None:
        """Compare again and again, until cancelled."""
        while True:
            try:
                for quarantine in self._quarantines.all():
                    await self._try(quarantine)
            except UnavailableError:
                pass  # reported by the parts that cannot work without Postgres
            raise_if_cancelled()
            await self._clock.sleep(CHECK_SECONDS)

    async def _try(self, quarantine: Quarantine) -> None:
        venue = self._venues.get(quarantine.venue)
        key = (quarantine.venue, quarantine.sha256)
        # A program without code gives no swap to compare.
        if venue is None or not quarantine.sha256 or self._clock.monotonic() < self._again_at.get(key, 0.0):
            return
        try:
            swaps = await self._proof.check(venue, self._pair)
        except Unproven as unproven:
            await self._stay(quarantine, str(unproven))
        except Exception as error:  # noqa: BLE001 - an adapter's bug must leave its venue in quarantine, and end nothing
            await self._stay(quarantine, f"the adapter failed: {type(error).__name__}: {error}")
        else:
            # Fails if other code was deployed meanwhile, and then that one is compared.
            if await self._record.accept(quarantine, "simulated swaps"):
                self._observer.quotes_confirmed(quarantine.venue, quarantine.program, swaps)
        await self._quarantines.look()

    async def _stay(self, quarantine: Quarantine, why: str) -> None:
        why = clean(why)
        key = (quarantine.venue, quarantine.sha256)
        pause = self._pauses.get(key, FIRST_PAUSE_SECONDS)
        self._pauses[key] = min(pause * 2, LONGEST_PAUSE_SECONDS)
        self._again_at[key] = self._clock.monotonic() + pause
        # Once, until it is another reason.
        if why != quarantine.difference:
            self._observer.quotes_not_confirmed(quarantine.venue, quarantine.program, why)
            await self._record.differ(quarantine, why)
