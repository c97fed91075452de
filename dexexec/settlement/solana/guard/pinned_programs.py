"""Which programs the transactions of a venue may call. The operator decides that, never the adapter: venues that come
with the engine are pinned by it, others by DEXEXEC_VENUE_PROGRAMS. The guard asks here before anything is signed."""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

from dexexec.domain import base58
from dexexec.errors import AdapterLoadError
from dexexec.observe.untrusted_text import clean
from dexexec.venue import AnyVenue, Network

VARIABLE = "DEXEXEC_VENUE_PROGRAMS"
NONE: Mapping[str, frozenset[str]] = MappingProxyType({})


class Pins:
    """Programs (base58) by the venue's name: `given` is what the operator pinned. `settle` is called once, before
    anything is signed."""

    def __init__(self, given: Mapping[str, frozenset[str]] = NONE) -> None:
        self._programs = dict(given)

    @classmethod
    def read(cls, entries: Iterable[str]) -> "Pins":
        """Pins as the operator writes them, each `VENUE=ADDRESS`. Raises `AdapterLoadError`."""
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
        """What the venue's transactions may call, beside Solana's own programs."""
        return self._programs.get(venue, frozenset())

    def settle(self, venues: Iterable[AnyVenue], built_in: Collection[str]) -> None:
        """Pin what the venues named in `built_in` call, where the operator did not, and hold all venues to their pins.
        Raises `AdapterLoadError` that says what to set, for a venue that calls what is not pinned, and for pins of a
        venue that is not enabled."""
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


def setting(venue: str, programs: Iterable[str]) -> str:
    """What the operator sets to pin these programs for a venue."""
    return f"{VARIABLE}={','.join(f'{venue}={one}' for one in sorted(programs))}"


def declared(venue: AnyVenue) -> frozenset[str]:
    """The programs that an adapter says it calls. Raises `AdapterLoadError` for anything but addresses."""
    try:
        programs = frozenset(venue.programs)
    except Exception as error:
        raise AdapterLoadError(f"{venue.name} does not say which programs it calls: {clean(error)}") from error
    for one in programs:
        if not isinstance(one, str) or not base58.is_address(one):
            raise AdapterLoadError(f"{venue.name} calls {clean(one)!r}, which is no address of a program")
    return programs
