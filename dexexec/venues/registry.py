"""Finds the adapters that are installed, loads those that are on, and gives them their settings.

Adapters register in the entry-point group `dexexec.adapters`, those of this repository too; a name with a colon is
taken as `package.module:Class` instead, and one of a preset (`venues/presets.py`) as its adapters. Installed does not
mean enabled: nothing is imported until it is asked for. Every failure is an `AdapterLoadError` of one line that says
what would be right.
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
from dexexec.venue import Capabilities, Chain, Network, Venue, VenueContext, VenueError
from dexexec.venues import presets

GROUP = "dexexec.adapters"
OURS = "dexexec"
"""The package of the engine, as installers know it."""
VenueClass = type[Venue[Any]]
_SECRET_LENGTH = 8
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


def installed() -> dict[str, EntryPoint]:
    """The entry points of every installed adapter, by name. Raises when two packages claim one name."""
    remedy = "uninstall one, or name the one you mean as package.module:Class"
    return presets.by_name(entry_points(group=GROUP), "adapters", remedy)


def load(names: Iterable[str]) -> list[VenueClass]:
    """The classes named, in order. A name is that of an installed adapter or preset, or `package.module:Class`.

    Raises `AdapterLoadError` for a name that is unknown or given twice, and for what is not a proper `Venue`.
    """
    points: dict[str, EntryPoint] | None = None
    loaded: dict[str, VenueClass] = {}
    for name in presets.expanded(names):
        if ":" in name:
            found = _load_path(name)
        else:
            points = installed() if points is None else points
            found = _load_point(name, points)
        if found.name in loaded:
            raise AdapterLoadError(f"the adapter {found.name!r} is enabled twice: name it once in DEXEXEC_ADAPTERS")
        loaded[found.name] = found
    return list(loaded.values())


def create(  # noqa: PLR0917 - in the order of `VenueContext`
    classes: Sequence[VenueClass],
    environ: Mapping[str, str],
    clock: Clock,
    tokens: Tokens,
    chains: Mapping[str, Chain],
    clusters: Mapping[str, str] = MappingProxyType({}),
) -> list[Venue[Any]]:
    """One instance of each class, with its options from `environ` and its presets, the chain of its network from
    `chains`, and what that is of from `clusters` (as `VenueContext.cluster`, unknown where it is missing)."""
    environ = presets.environment(environ)
    venues: list[Venue[Any]] = []
    for found in classes:
        options = read_options(found, environ)
        network = _network(found, options)
        chain = chains.get(network)
        if chain is None:
            known = ", ".join(sorted(chains)) or "none"
            raise AdapterLoadError(f"{found.name} settles on {network!r}, which is not set up here (set up: {known})")
        context = VenueContext(clock, tokens, chain, options, clusters.get(network, ""))
        try:
            venue = found(context)
        except VenueError as error:
            raise AdapterLoadError(f"{found.name}: {_masked(found, environ, str(error))}") from error
        except Exception as error:
            problem = _masked(found, environ, _brief(error))
            raise AdapterLoadError(f"{found.name} does not start: {problem}") from error
        if venue.capabilities.network != network:
            settles = venue.capabilities.network
            raise AdapterLoadError(
                f"{found.name} has the chain of {network!r}, but says that it settles on {settles!r}"
            )
        venues.append(venue)
    return venues


def networks(classes: Sequence[VenueClass], environ: Mapping[str, str]) -> frozenset[str]:
    """The networks that these adapters settle on. Raises `AdapterLoadError` for options that cannot be used."""
    environ = presets.environment(environ)
    return frozenset(_network(found, read_options(found, environ)) for found in classes)


def _network(found: VenueClass, options: Any) -> str:
    """The network that the adapter settles on. Raises `AdapterLoadError` for one that the engine does not know."""
    network = found.network_for(options)
    if not isinstance(network, str) or network not in Network.ALL:
        known = ", ".join(sorted(Network.ALL))
        raise AdapterLoadError(f"{found.name} settles on {network!r}, which is no network of the engine's: {known}")
    return network


def read_options(found: VenueClass, environ: Mapping[str, str]) -> Any:
    """The adapter's options from `environ`. The error names the variable and its bound, never the value."""
    try:
        return found.read_options(environ)
    except ValidationError as error:
        fields = {name: (_variable(found, name), info) for name, info in found.Options.model_fields.items()}
        text = validation_messages.explain_all(error, fields, environ)
        # Without its cause: a validation error repeats the value, which may be a secret.
        raise AdapterLoadError(f"{found.name}: {_masked(found, environ, text)}") from None


def built_in(classes: Iterable[VenueClass]) -> frozenset[str]:
    """The names of those classes that come with the engine itself: the very ones that its own package registers."""
    own = [point for point in entry_points(group=GROUP) if point.dist is not None and point.dist.name == OURS]
    return frozenset(
        found.name
        for found in classes
        for point in own
        if point.name == found.name and point.value.partition(":")[0] == found.__module__ and point.load() is found
    )


def options_of(found: VenueClass) -> dict[str, str]:
    """What an adapter reads from the environment: variable -> description."""
    return {_variable(found, field): info.description or "" for field, info in found.Options.model_fields.items()}


def option_names(environ: Mapping[str, str] | None = None) -> set[str]:
    """The environment variables of all installed adapters, enabled or not, and of those that `environ` enables by their
    path. One that cannot be loaded has none."""
    enabled = (environ or {}).get("DEXEXEC_ADAPTERS", "")
    paths = [name.strip() for name in enabled.split(",") if ":" in name]
    names: set[str] = set()
    for point in (*entry_points(group=GROUP), *paths):
        try:
            found = _load_path(point) if isinstance(point, str) else _load_point(point.name, {point.name: point})
        except AdapterLoadError:
            continue
        names.update(options_of(found))
    return names


def _load_point(name: str, points: Mapping[str, EntryPoint]) -> VenueClass:
    point = points.get(name)
    if point is None:
        known, groups = ", ".join(points) or "none", presets.installed()
        near = validation_messages.nearest(name, [*points, *groups])
        hint = f"did you mean {near}? " if near else ""
        more = f"; presets are {', '.join(groups)}" if groups else ""
        raise AdapterLoadError(f"there is no adapter {name!r}: {hint}known are {known}{more}")
    try:
        found = point.load()
    except Exception as error:
        raise AdapterLoadError(f"the adapter {name!r} ({point.value}) cannot be loaded: {_brief(error)}") from error
    checked = _check(point.value, found)
    if checked.name != name:
        raise AdapterLoadError(f"the adapter {name!r} ({point.value}) calls itself {checked.name!r}: both must agree")
    return checked


def _load_path(path: str) -> VenueClass:
    module_name, _, class_name = path.partition(":")
    try:
        found = importlib.import_module(module_name)
        for part in class_name.split("."):
            found = getattr(found, part)
    except Exception as error:
        raise AdapterLoadError(
            f"the adapter {path!r} cannot be loaded: {_brief(error)}; a path is package.module:Class"
        ) from error
    return _check(path, found)


def _check(path: str, found: object) -> VenueClass:
    """`found` as a venue's class; raises when it is not one that can be used."""
    if not isinstance(found, type) or not issubclass(found, Venue):
        raise AdapterLoadError(f"{path} is not an adapter: it must be a subclass of dexexec.venue.Venue")
    name = getattr(found, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise AdapterLoadError(f"{path} needs a name: up to 40 small letters, digits and hyphens")
    if not isinstance(getattr(found, "capabilities", None), Capabilities):
        raise AdapterLoadError(f"{path} needs capabilities: an instance of dexexec.venue.Capabilities")
    if inspect.isabstract(found):
        missing = ", ".join(sorted(found.__abstractmethods__))
        raise AdapterLoadError(f"{path} is not complete: it still lacks {missing}")
    return found


def _variable(found: VenueClass, field: str) -> str:
    return f"{found.options_prefix}{field.upper()}"


def _masked(found: VenueClass, environ: Mapping[str, str], text: str) -> str:
    """`text` without the values of the adapter's own variables: an adapter's message may repeat what it was given.
    A value out of a closed list is no secret."""
    for field, info in found.Options.model_fields.items():
        value = environ.get(_variable(found, field), "")
        if len(value) >= _SECRET_LENGTH and value not in get_args(info.annotation):
            text = text.replace(value, "***")
    return text


def _brief(error: Exception) -> str:
    """One line of what an adapter's own code raised."""
    return f"{type(error).__name__}: {error}".splitlines()[0]
