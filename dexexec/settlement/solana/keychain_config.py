"""Reads the configuration of a signer of the library `solana-keychain` from a table of settings.

The fields are those of the library's own class for the service, by the same names. So each service that the library
adds needs no code here. Fields that the library hides (`repr=False`) are secrets: they are given by reference only.
"""

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from solana_keychain import SUPPORTED_BACKENDS

from dexexec.config.secret_reference import read_secret

ADDRESS = frozenset({"public_key", "address"})
"""The fields that services have for the wallet's address, which the wallet's own setting has already."""
REFUSED: Mapping[str, str] = {
    "crossmint": "it sends the transactions that it signs, and a swap that this service did not send is not recorded",
    "memory": "it holds a key in this process: use `key` for that",
}
REFUSED_FIELDS: Mapping[str, frozenset[str]] = {
    # Modes in which the service sends or rewrites what it signs.
    "fordefi": frozenset({"chain", "push_mode", "fee", "pending_transaction_id"}),
    "fireblocks": frozenset({"use_program_call"}),
}


class KeychainConfigError(Exception):
    """A table that describes no usable signer. The text names a field, and no value."""


def config_class(backend: str) -> type[Any]:
    """The library's class of configurations of a service. Raises `KeychainConfigError`."""
    if backend in REFUSED:
        raise KeychainConfigError(f"{backend} cannot be used: {REFUSED[backend]}")
    if backend not in SUPPORTED_BACKENDS:
        names = [name for name in SUPPORTED_BACKENDS if name not in REFUSED]
        raise KeychainConfigError(f"{_nearest(backend, names)}it must be one of {', '.join(names)}")
    try:
        module = importlib.import_module(f"solana_keychain.{backend.replace('-', '_')}")
    except ImportError as error:
        raise KeychainConfigError(
            f"{backend} needs another library: run pip install 'solana-keychain[{backend}]'"
        ) from error
    # By the library's naming, since its own table of classes is private. Each module has one.
    [found] = [value for name, value in vars(module).items() if name.endswith("SignerConfig") and is_dataclass(value)]
    assert isinstance(found, type)  # noqa: S101 - an instance is a dataclass for `is_dataclass` too
    return found


def read_config(backend: str, address: str, table: Mapping[str, object], **given: object) -> Any:
    """The library's configuration of the signer for `address`, with the secrets that `table` refers to. `given` are
    values for fields that no table has; those that the class lacks are left out. Raises `KeychainConfigError`."""
    found = config_class(backend)
    names = {field.name for field in fields(found)}
    values = {name: value for name, value in given.items() if name in names}
    values |= dict.fromkeys(ADDRESS & names, address)
    refused = REFUSED_FIELDS.get(backend, frozenset())
    return _read(found, table, values, refused)


def _read(found: type[Any], table: Mapping[str, object], values: dict[str, object], refused: frozenset[str]) -> Any:
    hints = get_type_hints(found)
    settable = {field.name: field for field in fields(found) if field.name not in refused | values.keys()}
    for name, value in table.items():
        if name in refused:
            raise KeychainConfigError(f"{name} cannot be set: a signer must sign what it gets, and send nothing")
        if name in ADDRESS:
            raise KeychainConfigError(f"{name} is the wallet's `address`: leave it out")
        if name not in settable:
            raise KeychainConfigError(f"{name} is not a field: {_nearest(name, list(settable))}")
        values[name] = _value(name, hints[name], value, is_secret=not settable[name].repr)
    missing = [name for name, field in settable.items() if _is_required(field) and name not in values]
    if missing:
        raise KeychainConfigError(f"{' and '.join(missing)} must be set")
    return found(**values)


def _value(name: str, hint: Any, value: object, *, is_secret: bool) -> object:
    for kind in _kinds(hint):
        if kind is str and isinstance(value, str):
            return _secret(name, value) if is_secret else value
        if get_origin(kind) is list and isinstance(value, list) and all(isinstance(item, str) for item in value):
            return [_secret(name, item) if is_secret else item for item in value]
        # `type`, not `isinstance`: true would otherwise count as the number 1.
        if kind in (int, bool) and type(value) is kind:
            return value
        if isinstance(kind, type) and is_dataclass(kind) and isinstance(value, dict):
            return _read(kind, value, {}, frozenset())
    raise KeychainConfigError(f"{name} has another type than the library expects")


def _kinds(hint: Any) -> tuple[Any, ...]:
    """The types that a field may have."""
    # Both spellings, `X | None` and `Optional[X]`: the library uses either.
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _secret(name: str, reference: str) -> str:
    try:
        return read_secret(reference)
    except ValueError as error:
        raise KeychainConfigError(f"{name}: {error}") from None


def _is_required(field: "Field[Any]") -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _nearest(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, 1)
    return f"did you mean {near[0]}? " if near else f"the fields are {', '.join(names)}"
