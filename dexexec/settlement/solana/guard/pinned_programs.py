"""The programs that the transactions of a venue may call. The guard reads them before anything is signed.

The operator decides them, never the adapter: the engine pins the venues that come with it, DEXEXEC_VENUE_PROGRAMS all
others.
"""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

from dexexec.domain import base58
from dexexec.errors import AdapterLoadError
from dexexec.observe.untrusted_text import clean
from dexexec.venue import AnyVenue, Network

VARIABLE = "DEXEXEC_VENUE_PROGRAMS"
NONE: Mapping[str, frozenset[str]] = MappingProxyType({})


class Pins:
    """Pinned programs (base58) by the venue's name. `given` are the operator's pins. `bind` is called once, before
    anything is signed."""

    def __init__(self, given: Mapping[str, frozenset[str]] = NONE) -> None:
        self._programs = dict(given)

    @classmethod
    def read(cls, entries: Iterable[str]) -> "Pins":
        """Parses the operator's pins, each `VENUE=ADDRESS`. Raises `AdapterLoadError`."""
        given: dict[str, frozenset[str]] = {}
        for entry in entries:
            venue, _, program = (part.strip() for part in entry.partition("="))
            if not venue or not base58.is_address(program):
                raise AdapterLoadError(
                    f"{VARIABLE}: each must be VENUE=ADDRESS, an adapter's name and a program's address (32 bytes in"
                    " base58)"
                )
            given[venue] = given.get(venue, frozenset()) | {program}
        return cls(given)

    def of(self, venue: str) -> frozenset[str]:
        """Returns what the venue's transactions may call in addition to Solana's own programs."""
        return self._programs.get(venue, frozenset())

    def bind(self, venues: Iterable[AnyVenue], built_in: Collection[str]) -> None:
        """Pins the programs of the venues in `built_in` that have no pins yet, and compares all venues with their pins.

        Raises `AdapterLoadError`, which names the setting, if a venue calls a program that is not pinned, or if a
        venue with pins is not enabled.
        """
        venues = list(venues)
        names = {venue.name for venue in venues}
        for name in self._programs.keys() - names:
            enabled = ", ".join(sorted(names))
            raise AdapterLoadError(f"{VARIABLE} names the venue {name!r}, which is not enabled (enabled: {enabled})")
        for venue in venues:
            if venue.capabilities.network == Network.SIMULATED:
                continue  # it has no programs
            called = declared(venue)
            if venue.name in built_in:
                self._programs.setdefault(venue.name, called)
            if missing := called - self.of(venue.name):
                raise AdapterLoadError(
                    f"{venue.name} calls {', '.join(sorted(missing))}, which is not pinned: the wallet only signs for"
                    f" programs that you name. If these are the addresses that its makers publish, set"
                    f" {setting(venue.name, called)} (beside other venues' by comma)"
                )

    def combine(self, venues: Mapping[str, Iterable[str]]) -> None:
        """Pins, for each venue that combines others, all programs that are pinned for those."""
        for venue, others in venues.items():
            self._programs[venue] = frozenset(program for other in others for program in self.of(other))


def setting(venue: str, programs: Iterable[str]) -> str:
    """Returns the setting that pins these programs for a venue."""
    return f"{VARIABLE}={','.join(f'{venue}={program}' for program in sorted(programs))}"


def declared(venue: AnyVenue) -> frozenset[str]:
    """Returns the programs that an adapter declares. Raises `AdapterLoadError` for anything but addresses."""
    # `programs` may be a property of an external adapter, with any result or exception.
    try:
        programs = frozenset(venue.programs)
    except Exception as error:
        raise AdapterLoadError(f"{venue.name} does not declare which programs it calls: {clean(error)}") from error
    for program in programs:
        if not isinstance(program, str) or not base58.is_address(program):
            raise AdapterLoadError(f"{venue.name} declares {clean(program)!r}, which is not the address of a program")
    return programs
