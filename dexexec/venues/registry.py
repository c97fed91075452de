"""Finds installed adapters, loads the enabled ones and gives them their settings.

Adapters register in the entry-point group `dexexec.adapters`. A name with a colon is a path, `package.module:Class`;
the name of a preset (`venues/presets.py`) enables its adapters. An adapter that is not enabled is not imported. Every
failure is an `AdapterLoadError` of one line with the remedy.
"""

import importlib
import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, get_args

from pydantic import ValidationError

from dexexec.clock import Clock
from dexexec.config import validation_messages
from dexexec.domain.token import Tokens
from dexexec.errors import AdapterLoadError
from dexexec.reference import AnyReference
from dexexec.venue import Capabilities, Chain, Network, Venue, VenueContext, VenueError
from dexexec.venues import presets

GROUP = "dexexec.adapters"
OWN_DISTRIBUTION = "dexexec"
"""The distribution that contains the engine and the adapters of this repository."""
VenueClass = type[Venue[Any]]
Configured = VenueClass | type[AnyReference]
"""A class with options of its own."""
_SECRET_LENGTH = 8
"""Shorter values are not masked in messages: they would make them unreadable, and no secret is so short."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


def installed() -> dict[str, EntryPoint]:
    """The entry points of all installed adapters by name. Raises when two packages use the same name."""
    remedy = "uninstall one, or name the one you mean as package.module:Class"
    return presets.by_name(entry_points(group=GROUP), "adapters", remedy)


def load(names: Iterable[str]) -> list[VenueClass]:
    """Load the named classes, in order. A name is that of an installed adapter or preset, or `package.module:Class`.

    Raises `AdapterLoadError` for an unknown or repeated name, and for a class that is not a complete `Venue`.
    """
    # Only read for names that are no paths: with paths alone, a broken installation elsewhere does no harm.
    points: dict[str, EntryPoint] | None = None
    loaded: dict[str, VenueClass] = {}
    for name in presets.expand(names):
        if ":" in name:
            venue_class = _load_path(name)
        else:
            points = installed() if points is None else points
            venue_class = _load_point(name, points)
        if venue_class.name in loaded:
            raise AdapterLoadError(
                f"the adapter {venue_class.name!r} is enabled twice: name it once in DEXEXEC_ADAPTERS"
            )
        loaded[venue_class.name] = venue_class
    return list(loaded.values())


def create(  # noqa: PLR0917 - in the order of `VenueContext`
    classes: Sequence[VenueClass],
    environ: Mapping[str, str],
    clock: Clock,
    tokens: Tokens,
    chains: Mapping[str, Chain],
    clusters: Mapping[str, str] = MappingProxyType({}),
) -> list[Venue[Any]]:
    """One instance of each class.

    It gets its options from `environ` and its presets, the chain of its network from `chains`, and that chain's cluster
    from `clusters` (as `VenueContext.cluster`; unknown if it is missing).
    """
    environ = presets.environment(environ)
    venues: list[Venue[Any]] = []
    for venue_class in classes:
        options = read_options(venue_class, environ)
        network = _network(venue_class, options)
        chain = chains.get(network)
        if chain is None:
            known = ", ".join(sorted(chains)) or "none"
            raise AdapterLoadError(
                f"{venue_class.name} settles on {network!r}, which is not available here (available: {known})"
            )
        context = VenueContext(clock, tokens, chain, options, clusters.get(network, ""))
        try:
            venue = venue_class(context)
        except VenueError as error:
            raise AdapterLoadError(f"{venue_class.name}: {masked(venue_class, environ, str(error))}") from error
        except Exception as error:
            problem = masked(venue_class, environ, first_line(error))
            raise AdapterLoadError(f"{venue_class.name} does not start: {problem}") from error
        if venue.capabilities.network != network:
            settles = venue.capabilities.network
            raise AdapterLoadError(
                f"{venue_class.name} got the chain of {network!r}, but its capabilities name {settles!r}"
            )
        venues.append(venue)
    return venues


def networks(classes: Sequence[VenueClass], environ: Mapping[str, str]) -> frozenset[str]:
    """The networks that these adapters settle on. Raises `AdapterLoadError` for invalid options."""
    environ = presets.environment(environ)
    return frozenset(_network(venue_class, read_options(venue_class, environ)) for venue_class in classes)


def _network(venue_class: VenueClass, options: Any) -> str:
    """The network that the adapter settles on. Raises `AdapterLoadError` for a network that does not exist."""
    network = venue_class.network_for(options)
    if not isinstance(network, str) or network not in Network.ALL:
        known = ", ".join(sorted(Network.ALL))
        raise AdapterLoadError(
            f"{venue_class.name} settles on {network!r}, which is not a network of the engine ({known})"
        )
    return network


def read_options(venue_class: Configured, environ: Mapping[str, str]) -> Any:
    """The adapter's options from `environ`. An error names the variable and its limits, never a secret value."""
    try:
        return venue_class.read_options(environ)
    except ValidationError as error:
        fields = {name: (_variable(venue_class, name), info) for name, info in venue_class.Options.model_fields.items()}
        text = validation_messages.explain_all(error, fields, environ)
        # Without the cause, because a validation error repeats the value, which may be a secret.
        raise AdapterLoadError(f"{venue_class.name}: {masked(venue_class, environ, text)}") from None


def built_in(classes: Iterable[VenueClass]) -> frozenset[str]:
    """The names of the classes that the engine's own distribution registers."""
    own = [
        point for point in entry_points(group=GROUP) if point.dist is not None and point.dist.name == OWN_DISTRIBUTION
    ]
    # The class itself is compared: another package may use the same name, module or class name.
    return frozenset(
        venue_class.name
        for venue_class in classes
        for point in own
        if point.name == venue_class.name
        and point.value.partition(":")[0] == venue_class.__module__
        and point.load() is venue_class
    )


def options_of(venue_class: Configured) -> dict[str, str]:
    """The variables that an adapter reads from the environment: name -> description."""
    return {
        _variable(venue_class, field): info.description or ""
        for field, info in venue_class.Options.model_fields.items()
    }


def option_names(environ: Mapping[str, str] | None = None) -> set[str]:
    """The variables of all installed adapters, enabled or not, and of adapters that `environ` enables by their path.

    Adapters that cannot be loaded are skipped.
    """
    enabled = (environ or {}).get("DEXEXEC_ADAPTERS", "")
    paths = [name.strip() for name in enabled.split(",") if ":" in name]
    names: set[str] = set()
    for point in (*entry_points(group=GROUP), *paths):
        try:
            venue_class = _load_path(point) if isinstance(point, str) else _load_point(point.name, {point.name: point})
        except AdapterLoadError:
            continue
        names.update(options_of(venue_class))
    return names


def _load_point(name: str, points: Mapping[str, EntryPoint]) -> VenueClass:
    point = points.get(name)
    if point is None:
        known = ", ".join(points) or "none"
        groups = presets.installed()
        near = validation_messages.nearest(name, [*points, *groups])
        hint = f"did you mean {near}? " if near else ""
        more = f"; presets are {', '.join(groups)}" if groups else ""
        raise AdapterLoadError(f"there is no adapter {name!r}: {hint}installed are {known}{more}")
    try:
        loaded = point.load()
    except Exception as error:
        raise AdapterLoadError(f"the adapter {name!r} ({point.value}) cannot be loaded: {first_line(error)}") from error
    venue_class = _check(point.value, loaded)
    if venue_class.name != name:
        raise AdapterLoadError(
            f"the adapter {name!r} ({point.value}) has the name {venue_class.name!r}: both must be equal"
        )
    return venue_class


def _load_path(path: str) -> VenueClass:
    module_name, _, class_name = path.partition(":")
    try:
        loaded: object = importlib.import_module(module_name)
        for part in class_name.split("."):
            loaded = getattr(loaded, part)
    except Exception as error:
        raise AdapterLoadError(
            f"the adapter {path!r} cannot be loaded: {first_line(error)}; a path has the form package.module:Class"
        ) from error
    return _check(path, loaded)


def _check(path: str, candidate: object) -> VenueClass:
    """`candidate` as a venue's class. Raises `AdapterLoadError` if it is not a complete one."""
    if not isinstance(candidate, type) or not issubclass(candidate, Venue):
        raise AdapterLoadError(f"{path} is not an adapter: it must be a subclass of dexexec.venue.Venue")
    name = getattr(candidate, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise AdapterLoadError(f"{path} needs a `name` of up to 40 lower-case letters, digits and hyphens")
    if not isinstance(getattr(candidate, "capabilities", None), Capabilities):
        raise AdapterLoadError(f"{path} needs `capabilities`, an instance of dexexec.venue.Capabilities")
    if inspect.isabstract(candidate):
        missing = ", ".join(sorted(candidate.__abstractmethods__))
        raise AdapterLoadError(f"{path} is incomplete: it lacks {missing}")
    return candidate


def _variable(venue_class: Configured, field: str) -> str:
    return f"{venue_class.options_prefix}{field.upper()}"


def masked(venue_class: Configured, environ: Mapping[str, str], text: str) -> str:
    """`text` without the values of the adapter's variables, because an adapter's message may repeat a secret."""
    for field, info in venue_class.Options.model_fields.items():
        value = environ.get(_variable(venue_class, field), "")
        # A value from a closed list is not a secret.
        if len(value) >= _SECRET_LENGTH and value not in get_args(info.annotation):
            text = text.replace(value, "***")
    return text


def first_line(error: Exception) -> str:
    """The type and first line of an exception from an adapter."""
    return f"{type(error).__name__}: {error}".splitlines()[0]
