"""Finds the reference price that DEXEXEC_ORACLE names, and gives it its settings, as `registry` does for venues.

References register in the entry-point group `dexexec.references`; a name with a colon is a `package.module:Class`.
Every failure is an `AdapterLoadError` of one line with the remedy.
"""

import inspect
import pkgutil
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points

from dexexec.clock import Clock
from dexexec.config import validation_messages
from dexexec.domain.token import Tokens
from dexexec.errors import AdapterLoadError
from dexexec.reference import AnyReference, PriceReference, ReferenceContext
from dexexec.venue import Chain, VenueError
from dexexec.venues import presets, registry

GROUP = "dexexec.references"


def installed() -> dict[str, EntryPoint]:
    """The entry points of all installed references by name. Raises when two packages use the same name."""
    remedy = "uninstall one, or name the one you mean as package.module:Class"
    return presets.by_name(entry_points(group=GROUP), "references", remedy)


def load(name: str) -> type[AnyReference]:
    """The named class. Raises `AdapterLoadError`."""
    if ":" in name:
        return _checked(name, _resolved(name, name))
    points = installed()
    if name not in points:
        near = validation_messages.nearest(name, list(points))
        hint = f"did you mean {near}? " if near else ""
        raise AdapterLoadError(f"there is no reference price {name!r}: {hint}installed are {', '.join(points)}")
    return _checked(name, _resolved(name, points[name].value))


def create(
    reference_class: type[AnyReference],
    environ: Mapping[str, str],
    clock: Clock,
    tokens: Tokens,
    chains: Mapping[str, Chain],
) -> AnyReference:
    """An instance with its options from `environ`. Raises `AdapterLoadError`."""
    options = registry.read_options(reference_class, environ)
    try:
        return reference_class(ReferenceContext(clock=clock, tokens=tokens, chains=chains, options=options))
    except VenueError as error:
        problem = registry.masked(reference_class, environ, str(error))
        raise AdapterLoadError(f"{reference_class.name}: {problem}") from error
    except Exception as error:
        problem = registry.masked(reference_class, environ, registry.first_line(error))
        raise AdapterLoadError(f"{reference_class.name} does not start: {problem}") from error


def option_names(environ: Mapping[str, str]) -> set[str]:
    """The variables of all installed references, and of one that `environ` names by its path. What cannot be loaded is
    skipped."""
    named = environ.get("DEXEXEC_ORACLE", "")
    names: set[str] = set()
    for name in (*installed(), *([named] if ":" in named else [])):
        try:
            names.update(registry.options_of(load(name)))
        except AdapterLoadError:
            continue
    return names


def _resolved(name: str, path: str) -> object:
    try:
        return pkgutil.resolve_name(path)
    except Exception as error:
        problem = registry.first_line(error)
        raise AdapterLoadError(f"the reference price {name!r} cannot be loaded: {problem}") from error


def _checked(name: str, candidate: object) -> type[AnyReference]:
    if not isinstance(candidate, type) or not issubclass(candidate, PriceReference):
        raise AdapterLoadError(f"{name} is not a reference price: it must be a subclass of dexexec.reference")
    if not isinstance(getattr(candidate, "name", None), str):
        raise AdapterLoadError(f"{name} needs a `name`")
    if inspect.isabstract(candidate):
        missing = ", ".join(sorted(candidate.__abstractmethods__))
        raise AdapterLoadError(f"{name} is incomplete: it lacks {missing}")
    return candidate
