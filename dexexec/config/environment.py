"""The environment of the process, completed by a `.env` file in the working directory.

The file has the usual syntax: text in single quotes is literal, `${NAME}` in anything else is replaced, and ` #` after
a value starts a comment. libpq reads only the environment, so its variables are copied there.
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

from dexexec.config.secret_files import with_contents
from dexexec.errors import SettingsError

ENV_FILE = ".env"
LIBPQ = frozenset({
    "PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE", "PGREQUIREAUTH", "PGREQUIREPEER", "PGCHANNELBINDING",
    "PGSSLMODE", "PGSSLNEGOTIATION", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "PGSSLCERTMODE", "PGSSLCRL",
    "PGSSLCRLDIR", "PGSSLSNI", "PGSSLMINPROTOCOLVERSION", "PGSSLMAXPROTOCOLVERSION", "PGGSSENCMODE", "PGKRBSRVNAME",
    "PGGSSLIB", "PGGSSDELEGATION",
})  # fmt: skip
"""Variables of libpq that are used: how to connect to Postgres, unless its address has the parameter."""
PLACES = {
    "PGHOST": "PG_HOST",
    "PGHOSTADDR": "PG_HOST",
    "PGPORT": "PG_PORT",
    "PGUSER": "PG_USER",
    "PGDATABASE": "PG_DATABASE",
}
"""Variables of libpq that are ignored: where Postgres is. They may be meant for other programs."""
SECRET = ("PASSWORD", "SECRET", "_URL", "PG_HOST")


def environment() -> dict[str, str]:
    """All variables that have a value, with the contents of files for secrets that are in files. Raises `SettingsError`
    if `.env` cannot be read."""
    return with_contents({name: value for name, value in env_file().items() if value} | os.environ)


def env_file() -> dict[str, str]:
    """The content of `.env`; empty without the file. Raises `SettingsError` if it cannot be read."""
    values: dict[str, str] = {}
    for binding in _bindings():
        if (
            binding.error and "=" in binding.original.string
        ):  # a line that is ignored silently could be an important setting
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
    """`.env` as a source of pydantic's settings, with the syntax of this module."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Unused: all values come at once."""
        raise NotImplementedError

    def __call__(self) -> dict[str, Any]:
        """The values that only the file has, by pydantic's field names."""
        in_file = uppercase_names(env_file())
        in_environment = uppercase_names(os.environ)
        values = {}
        for name, field in self.settings_cls.model_fields.items():
            known_as = variable(name, field, str(self.config.get("env_prefix", "")))
            if in_file.get(known_as) and not in_environment.get(known_as):
                values[known_as if field.validation_alias else name] = in_file[known_as]
        return values


class FromEnvironment(BaseSettings):
    """Settings from arguments, the environment, and `.env` unless `_env_file=None` is passed."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The sources, the first one wins."""
        reads_file = getattr(dotenv_settings, "env_file", None) is not None
        return (init_settings, env_settings, *([EnvFile(settings_cls)] if reads_file else []))


def variable(name: str, field: FieldInfo, prefix: str) -> str:
    """The environment variable of a settings field: its alias, or its name with the prefix."""
    alias = field.validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else prefix + name.upper()


def pass_to_libpq(environ: MutableMapping[str, str] = os.environ) -> None:
    """Copy libpq's variables from `.env` to the environment, where it does not have them."""
    for name, value in env_file().items():
        if name in LIBPQ and value:
            environ.setdefault(name, value)


def environment_warnings() -> Iterator[str]:
    """Warnings about variables that are not settings but probably mistakes. No value is repeated."""
    given = environment()
    for name, setting in PLACES.items():
        if name in given and not {setting, "DATABASE_URL"} & set(given):
            yield f"{name} is ignored: set {setting} or DATABASE_URL"
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
    """The raw value, with its quotes and what follows."""
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
    """Names of settings are not case-sensitive."""
    return {name.upper(): value for name, value in environ.items()}
