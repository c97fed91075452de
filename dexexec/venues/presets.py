"""One name in DEXEXEC_ADAPTERS that stands for several adapters and their settings, `devnet` for example.

Presets are objects of `dexexec.venue.Preset` in the entry-point group `dexexec.presets`. Every failure is an
`AdapterLoadError` of one line that says what would be right.
"""

from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points

from dexexec.errors import AdapterLoadError
from dexexec.venue import Preset

GROUP = "dexexec.presets"
ADAPTERS = "DEXEXEC_ADAPTERS"


def installed() -> dict[str, EntryPoint]:
    """The entry points of every installed preset, by name. Raises when two packages claim one name."""
    return by_name(entry_points(group=GROUP), "presets", "uninstall one")


def by_name(points: Iterable[EntryPoint], kind: str, remedy: str) -> dict[str, EntryPoint]:
    """Sorted; raises `AdapterLoadError` with the `remedy` when two packages claim one name."""
    found: dict[str, EntryPoint] = {}
    for point in sorted(points, key=lambda point: point.name):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            raise AdapterLoadError(
                f"two installed {kind} are called {point.name!r}: {origin(other)} and {origin(point)}; {remedy}"
            )
    return found


def origin(point: EntryPoint) -> str:
    """The package that brought an entry point, with its version."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def load(point: EntryPoint) -> Preset:
    """The preset behind an entry point."""
    try:
        found = point.load()
    except Exception as error:
        problem = f"{type(error).__name__}: {error}".splitlines()[0]
        raise AdapterLoadError(f"the preset {point.name!r} ({point.value}) cannot be loaded: {problem}") from error
    if not isinstance(found, Preset):
        raise AdapterLoadError(f"{point.value} is not a preset: it must be a dexexec.venue.Preset")
    return found


def among(names: Iterable[str]) -> dict[str, Preset]:
    """Those of the names that are presets."""
    named = [name for name in names if name and ":" not in name]
    points = installed() if named else {}
    return {name: load(points[name]) for name in named if name in points}


def expanded(names: Iterable[str]) -> list[str]:
    """The names with the adapters of presets in their places, but for those that are named by themselves."""
    names = list(names)
    presets = among(names)
    found: list[str] = []
    for name in names:
        parts = presets[name].adapters if name in presets else (name,)
        found += [part for part in parts if name not in presets or (part not in found and part not in names)]
    return found


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` and what the presets in its DEXEXEC_ADAPTERS set. What is set already wins over a preset's defaults;
    raises `AdapterLoadError` where it, or another preset, contradicts what the preset stands for."""
    given = {name: value for name, value in environ.items() if value}
    fixed: dict[str, tuple[str, str]] = {}
    defaults: dict[str, str] = {}
    for preset, found in among(part.strip() for part in given.get(ADAPTERS, "").split(",")).items():
        defaults = dict(found.defaults) | defaults
        for name, value in found.settings.items():
            if given.get(name, value) != value:
                raise AdapterLoadError(
                    f"{name} contradicts the preset {preset!r} of {ADAPTERS}, where it is {value}: unset it, or name"
                    f" the adapters ({', '.join(found.adapters)}) instead of the preset"
                )
            other, theirs = fixed.setdefault(name, (preset, value))
            if theirs != value:
                raise AdapterLoadError(
                    f"the presets {other!r} and {preset!r} of {ADAPTERS} contradict each other: {name} is {theirs} in"
                    f" the one and {value} in the other"
                )
    return defaults | given | {name: value for name, (_, value) in fixed.items()}
