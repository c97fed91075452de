"""Presets: names in DEXEXEC_ADAPTERS that enable several adapters with their settings, for example `devnet`.

A preset is a `dexexec.venue.Preset` in the entry-point group `dexexec.presets`. Every failure is an `AdapterLoadError`
of one line with the remedy.
"""

from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points

from dexexec.errors import AdapterLoadError
from dexexec.venue import Preset

GROUP = "dexexec.presets"
ADAPTERS = "DEXEXEC_ADAPTERS"


def installed() -> dict[str, EntryPoint]:
    """The entry points of all installed presets by name. Raises when two packages use the same name."""
    return by_name(entry_points(group=GROUP), "presets", "uninstall one")


def by_name(points: Iterable[EntryPoint], kind: str, remedy: str) -> dict[str, EntryPoint]:
    """Entry points by name, sorted. Raises `AdapterLoadError` with the `remedy` when two packages use the same name."""
    points_by_name: dict[str, EntryPoint] = {}
    for point in sorted(points, key=lambda point: point.name):
        other = points_by_name.setdefault(point.name, point)
        if other.value != point.value:
            raise AdapterLoadError(
                f"two installed {kind} are called {point.name!r}: {origin(other)} and {origin(point)}; {remedy}"
            )
    return points_by_name


def origin(point: EntryPoint) -> str:
    """The package of an entry point, with its version."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def load(point: EntryPoint) -> Preset:
    """Load the preset of an entry point."""
    try:
        preset = point.load()
    except Exception as error:
        problem = f"{type(error).__name__}: {error}".splitlines()[0]
        raise AdapterLoadError(f"the preset {point.name!r} ({point.value}) cannot be loaded: {problem}") from error
    if not isinstance(preset, Preset):
        raise AdapterLoadError(f"{point.value} is not a preset: it must be a dexexec.venue.Preset")
    return preset


def presets_among(names: Iterable[str]) -> dict[str, Preset]:
    """The names that are presets, with the presets."""
    named = [name for name in names if name and ":" not in name]
    points = installed() if named else {}
    return {name: load(points[name]) for name in named if name in points}


def expand(names: Iterable[str]) -> list[str]:
    """The names, with each preset replaced by its adapters. An adapter that is also named by itself appears once."""
    names = list(names)
    presets = presets_among(names)
    adapters: list[str] = []
    for name in names:
        if name in presets:
            adapters += [part for part in presets[name].adapters if part not in adapters and part not in names]
        else:
            # Kept even if it is a duplicate: naming an adapter twice is an error that the registry reports.
            adapters.append(name)
    return adapters


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` together with the settings of the presets in its DEXEXEC_ADAPTERS.

    Existing values take precedence over a preset's defaults. Raises `AdapterLoadError` where they, or another preset,
    contradict a preset's settings.
    """
    given = {name: value for name, value in environ.items() if value}
    fixed: dict[str, tuple[str, str]] = {}
    defaults: dict[str, str] = {}
    for preset_name, preset in presets_among(part.strip() for part in given.get(ADAPTERS, "").split(",")).items():
        # The first preset in the list takes precedence.
        defaults = dict(preset.defaults) | defaults
        for name, value in preset.settings.items():
            if given.get(name, value) != value:
                raise AdapterLoadError(
                    f"{name} contradicts the preset {preset_name!r} of {ADAPTERS}, where it is {value}: unset it, or"
                    f" name the adapters ({', '.join(preset.adapters)}) instead of the preset"
                )
            other, other_value = fixed.setdefault(name, (preset_name, value))
            if other_value != value:
                raise AdapterLoadError(
                    f"the presets {other!r} and {preset_name!r} of {ADAPTERS} contradict each other: {name} is"
                    f" {other_value} in the one and {value} in the other"
                )
    return defaults | given | {name: value for name, (_, value) in fixed.items()}
