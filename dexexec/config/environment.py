"""The process's environment over what a `.env` file in the working directory holds.

The file is read as its ecosystem reads it: what is in single quotes is literal, `${NAME}` in anything else is replaced,
and ` #` behind a value begins a comment. libpq reads the environment alone, so its variables are passed on to it.
"""

import io
import os
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from dotenv.parser import Binding, parse_stream
from dotenv.variables import Variable, parse_variables
from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from dexexec.errors import SettingsError

ENV_FILE = ".env"
LIBPQ = frozenset({
    "PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE", "PGREQUIREAUTH", "PGREQUIREPEER", "PGCHANNELBINDING",
    "PGSSLMODE", "PGSSLNEGOTIATION", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "PGSSLCERTMODE", "PGSSLCRL",
    "PGSSLCRLDIR", "PGSSLSNI", "PGSSLMINPROTOCOLVERSION", "PGSSLMAXPROTOCOLVERSION", "PGGSSENCMODE", "PGKRBSRVNAME",
    "PGGSSLIB", "PGGSSDELEGATION",
})  # fmt: skip
"""What counts of libpq's variables: how to reach a Postgres, for all that its address does not say."""
PLACES = {
    "PGHOST": "PG_HOST",
    "PGHOSTADDR": "PG_HOST",
    "PGPORT": "PG_PORT",
    "PGUSER": "PG_USER",
    "PGDATABASE": "PG_DATABASE",
}
"""What does not count, since it may be meant for other programs: where a Postgres is. Ours is instead."""
SECRET = ("PASSWORD", "SECRET", "_URL", "PG_HOST")


def environment() -> dict[str, str]:
    """All variables that have a value. Raises `SettingsError` when there is a file that cannot be read."""
    return {name: value for name, value in env_file().items() if value} | os.environ


def env_file() -> dict[str, str]:
    """What `.env` holds; nothing where there is none. Raises `SettingsError` when it cannot be read."""
    values: dict[str, str] = {}
    for binding in _bindings():
        if binding.error and "=" in binding.original.string:  # what it says must not be missed without a word
            raise SettingsError(f"line {binding.original.line} of {ENV_FILE} cannot be read: is a quote missing?")
        if binding.key is None or binding.value is None or binding.error:
            continue
        if _is_literal(binding):
            values[binding.key] = binding.value
        else:
            known = {**os.environ, **values}
            values[binding.key] = "".join(atom.resolve(known) for atom in parse_variables(binding.value))
    return values


class EnvFile(PydanticBaseSettingsSource):
    """`.env` for pydantic's settings, read as here."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Not asked for: all come at once."""
        raise NotImplementedError

    def __call__(self) -> dict[str, Any]:
        """The values that it holds and the environment does not, by what pydantic calls the fields."""
        held, ours = uppercase_names(env_file()), uppercase_names(os.environ)
        found = {}
        for name, field in self.settings_cls.model_fields.items():
            known_as = variable(name, field, str(self.config.get("env_prefix", "")))
            if held.get(known_as) and not ours.get(known_as):
                found[known_as if field.validation_alias else name] = held[known_as]
        return found


class FromEnvironment(BaseSettings):
    """Settings from arguments, the environment, and `.env` unless `_env_file=None` is among the arguments."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What counts, the first most."""
        reads_file = getattr(dotenv_settings, "env_file", None) is not None
        return (init_settings, env_settings, *([EnvFile(settings_cls)] if reads_file else []))


def variable(name: str, field: FieldInfo, prefix: str) -> str:
    """The environment variable of a field of settings: its own, or its name with the prefix."""
    alias = field.validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else prefix + name.upper()


def pass_to_libpq(environ: MutableMapping[str, str] = os.environ) -> None:
    """Set what `.env` says and the environment does not."""
    for name, value in env_file().items():
        if name in LIBPQ and value:
            environ.setdefault(name, value)


def environment_warnings() -> Iterator[str]:
    """What was probably meant otherwise, of names that are no settings. No value is repeated."""
    given = environment()
    for name, ours in PLACES.items():
        if name in given and not {ours, "DATABASE_URL"} & set(given):
            yield f"{name} does not count: set {ours}, or DATABASE_URL"
    for binding in _bindings():
        if binding.key and any(word in binding.key for word in SECRET):
            if _has_comment(binding):
                yield (
                    f"{binding.key} in {ENV_FILE} ends before ` #`, which begins a comment: if that belongs to the"
                    " value, put all of it in single quotes"
                )
            if not _is_literal(binding) and any(_unset(binding.value or "", given)):
                yield (
                    f"{binding.key} in {ENV_FILE} names a variable in ${{}} that is not set: if that belongs to the"
                    " value, put all of it in single quotes"
                )


def _bindings() -> list[Binding]:
    path = Path(ENV_FILE)
    try:
        if not path.is_file():
            return []
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SettingsError(
            f"{path.absolute()} cannot be read ({error.strerror}): make it readable, or move it"
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path.absolute()} is not UTF-8: save it as that, or move it") from None
    return list(parse_stream(io.StringIO(text)))


def _raw(binding: Binding) -> str:
    """The value as it is written, with its quotes and what follows."""
    return binding.original.string.partition("=")[2].strip()


def _is_literal(binding: Binding) -> bool:
    return _raw(binding).startswith("'")


def _has_comment(binding: Binding) -> bool:
    raw = _raw(binding)
    return not raw.startswith(("'", '"')) and raw != binding.value


def _unset(value: str, given: Mapping[str, str]) -> Iterator[bool]:
    for atom in parse_variables(value):
        if isinstance(atom, Variable):
            yield atom.default is None and atom.name not in given


def uppercase_names(environ: Mapping[str, str]) -> dict[str, str]:
    """Names of settings ignore the case."""
    return {name.upper(): value for name, value in environ.items()}
