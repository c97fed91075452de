"""Parses the address of a Postgres by libpq's rules: a URL, a conninfo, or hosts with ports.

Nothing connects here, and psycopg is only imported if there is an address.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

SCHEMES = ("postgresql://", "postgres://")
CONNECT_SECONDS = 5
CONNECT_SECONDS_EACH = 2
"""The limit per host if there are several, so that a silent one leaves time for the others."""
DEFAULT_PORT = 5432
DEFAULT_SCHEMA = "public"
PRIMARY = frozenset({"any", "primary", "read-write", "prefer-standby"})
"""Values of `target_session_attrs` that a primary satisfies. The service always requires a primary."""

_SCHEMA = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")
UNREADABLE = (
    "cannot be read: it must look like postgresql://HOST:5432/DATABASE, with USER:PASSWORD@ before the host and what is"
    " special in a password percent-encoded, or like host=HOST user=USER …"
)
_TAKEN_APART = frozenset({"host", "hostaddr", "port", "user", "password", "dbname", "target_session_attrs"})


class BadAddressError(ValueError):
    """An invalid Postgres address. The message repeats none of it, since it may contain a password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """The address of a Postgres. `host` may be the folder of a unix socket. `others` are further hosts and ports: the
    primary among all is used. `parameters` are libpq's others, such as `sslmode`. The repr has neither them nor the
    password."""

    host: str
    port: int = DEFAULT_PORT
    user: str = "postgres"
    database: str = "postgres"
    password: str = field(default="", repr=False)
    others: tuple[tuple[str, int], ...] = ()
    parameters: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    schema: str = DEFAULT_SCHEMA
    """The schema of the tables. It is set in each session, and is not part of a conninfo."""

    @property
    def hosts(self) -> tuple[tuple[str, int], ...]:
        """All hosts with their ports, in the order of connecting."""
        return ((self.host, self.port), *self.others)

    @property
    def connect_seconds(self) -> int:
        """The time limit for a connection to one host."""
        return CONNECT_SECONDS_EACH if self.others else CONNECT_SECONDS

    def place(self) -> str:
        """The address for people, without user and password."""
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return f"{hosts}/{self.database}" + f" (schema {self.schema})" * (self.schema != DEFAULT_SCHEMA)

    def pg_host_value(self) -> str:
        """The conninfo for another process' PG_HOST; it contains the password."""
        return self._conninfo({})

    def conninfo(self) -> str:
        """The conninfo for psycopg. A silent peer is given up within about ten seconds; a standby is refused. It has no
        session settings, since a pooler would refuse or drop them (`dexexec.store.session`)."""
        return self._conninfo(
            {
                "application_name": "dexexec",
                "hostaddr": "",  # otherwise libpq takes it from the environment, where it would win over the host
                "options": "",
                "connect_timeout": self.connect_seconds,
                "keepalives_idle": 5,
                "keepalives_interval": 2,
                "keepalives_count": 3,
                "tcp_user_timeout": 10_000,
                "target_session_attrs": "primary",
            }
        )

    def _conninfo(self, defaults: Mapping[str, str | int]) -> str:
        from psycopg.conninfo import make_conninfo  # noqa: PLC0415 - it takes long to load

        options: dict[str, Any] = {**defaults, **dict(self.parameters)}
        return make_conninfo(
            host=",".join(host for host, _ in self.hosts),
            port=",".join(str(port) for _, port in self.hosts),
            user=self.user,
            dbname=self.database,
            password=self.password or None,
            **options,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of a URL, a conninfo or a list of hosts. Missing parts are None."""

    hosts: tuple[str, ...]
    ports: tuple[int, ...] = ()
    user: str | None = None
    database: str | None = None
    password: str | None = field(default=None, repr=False)
    parameters: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The parts of a Postgres URL, a conninfo, or comma-separated hosts. Raises `BadAddressError`."""
        if "://" in text or "=" in text:
            parts = cls._structured(text)
        else:
            parts = cls(hosts=tuple(name for part in text.split(",") if (name := part.strip())))
        if not parts.hosts or not all(parts.hosts):
            raise BadAddressError("must name a host")
        # With a password that is not percent-encoded, libpq takes the rest of it for the host or the database.
        if any("@" in host[1:] for host in parts.hosts) or set("@/?") & set(parts.database or ""):
            raise BadAddressError(UNREADABLE)
        try:
            for name in (host for host in parts.hosts if not host.startswith("/")):
                name.encode("idna")
        except UnicodeError:  # resolving the host would raise this, too
            raise BadAddressError("names a host that cannot be one") from None
        return parts

    @classmethod
    def _structured(cls, text: str) -> Self:
        if "://" in text and not text.startswith(SCHEMES):
            raise BadAddressError("is a URL of another kind: a Postgres' begins with postgresql://")
        from psycopg import ProgrammingError  # noqa: PLC0415 - it takes long to load
        from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

        try:
            parameters = {name: str(value) for name, value in conninfo_to_dict(text).items() if value is not None}
        except ProgrammingError:  # its message quotes parts of the text
            raise BadAddressError(UNREADABLE) from None
        if parameters.get("target_session_attrs", "any") not in PRIMARY:
            raise BadAddressError("requests a standby (target_session_attrs): orders need the primary")
        hosts = tuple((parameters.get("host") or parameters.get("hostaddr") or "").split(","))
        kept = {name for name in parameters if name not in _TAKEN_APART} | (
            {"hostaddr"} if "host" in parameters else set()
        )
        return cls(
            hosts=hosts,
            ports=_ports(parameters["port"], len(hosts)) if "port" in parameters else (),
            user=parameters.get("user"),
            database=parameters.get("dbname"),
            password=parameters.get("password"),
            parameters=tuple((name, value) for name, value in parameters.items() if name in kept),
        )


def holds_an_address(text: str) -> bool:
    """Whether the name of a user or a database has other parts, and may contain a password."""
    return "://" in text or bool(re.search(r"\b(password|host|hostaddr)\s*=|:[^@]*@", text))


def checked_schema(name: str) -> str:
    """The checked name of a schema. Raises `BadAddressError` for one that would have to be quoted."""
    if not _SCHEMA.fullmatch(name) or name.lower().startswith("pg_") or name == "information_schema":
        raise BadAddressError(
            "a schema's name has up to 63 letters, digits, _ and -, begins with a letter, and not with pg_,"
            " and is not Postgres' own"
        )
    return name


def address(parts: Parts, ports: tuple[int, ...], user: str, database: str, password: str) -> Address:
    """The address from `parts`, with defaults for missing ones. Raises `BadAddressError` if the ports do not fit."""
    ports = parts.ports or ports
    if len(ports) not in {1, len(parts.hosts)}:
        raise BadAddressError("names another number of hosts than PG_PORT has ports")
    (host, port), *others = zip(parts.hosts, ports * len(parts.hosts) if len(ports) == 1 else ports, strict=True)
    return Address(
        host=host,
        port=port,
        user=parts.user or user,
        database=parts.database or database,
        password=password if parts.password is None else parts.password,
        others=tuple(others),
        parameters=parts.parameters,
    )


def address_from_variables(
    name: str,
    text: str,
    *,
    explicitly_set: Collection[str],
    ports: tuple[int, ...],
    user: str,
    database: str,
    password: str,
) -> Address:
    """The address in the variable `name`, completed by PG_PORT, PG_USER, PG_DATABASE and PG_PASSWORD.

    Raises `ValueError` if one of those is among `explicitly_set` and contradicts `text`.
    """
    try:
        parts = Parts.parse(text) if text else Parts(hosts=("",))
        pairs: dict[str, tuple[object, object]] = {
            "PG_PORT": (frozenset(parts.ports), frozenset(ports)),
            "PG_USER": (parts.user, user),
            "PG_DATABASE": (parts.database, database),
            "PG_PASSWORD": (parts.password, password),
        }
        # Only variables that are set explicitly: a default must not contradict the URL.
        for other, (inside, beside) in pairs.items():
            if inside and other in explicitly_set and inside != beside:
                raise ValueError(f"{name} and {other} contradict each other: leave one of them out")
        return address(parts, ports, user, database, password)
    except BadAddressError as error:
        raise ValueError(f"{name} {error}") from None


def _ports(text: str, hosts: int) -> tuple[int, ...]:
    """The ports of a URL with several hosts, which may leave out default ports, or all ports."""
    if not text.strip(","):
        return ()
    try:
        ports = tuple(int(port) if port else DEFAULT_PORT for port in text.split(","))
    except ValueError:
        ports = ()
    if len(ports) not in {1, hosts} or not all(0 < port < 65536 for port in ports):
        raise BadAddressError("has a port that is no number from 1 to 65535")
    return ports
