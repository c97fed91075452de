"""Where a Postgres is: a URL, a conninfo or hosts with ports, taken apart by libpq's own rules.

The very edge of the environment, like `config.redis_url`: no connection is made here, and psycopg is only loaded
when there is a Postgres to reach.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

SCHEMES = ("postgresql://", "postgres://")
CONNECT_SECONDS = 5
CONNECT_SECONDS_EACH = 2
"""With several hosts: one that went silent must leave time for the others."""
DEFAULT_PORT = 5432
DEFAULT_SCHEMA = "public"
PRIMARY = frozenset({"any", "primary", "read-write", "prefer-standby"})
"""Values of `target_session_attrs` that a primary satisfies. It is what is always asked for."""

_SCHEMA = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")
UNREADABLE = (
    "cannot be read: it must look like postgresql://HOST:5432/DATABASE, with USER:PASSWORD@ before the host and what is"
    " special in a password percent-encoded, or like host=HOST user=USER …"
)
_TAKEN_APART = frozenset({"host", "hostaddr", "port", "user", "password", "dbname", "target_session_attrs"})


class BadAddressError(ValueError):
    """Text that is no address of a Postgres. The message repeats nothing of it, since it may hold a password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a Postgres is. `host` may be the folder of a unix socket. `others` are hosts and ports that are tried as
    well: whichever is the primary is used. `parameters` are libpq's others, such as `sslmode`. Neither they nor the
    password are in the repr."""

    host: str
    port: int = DEFAULT_PORT
    user: str = "postgres"
    database: str = "postgres"
    password: str = field(default="", repr=False)
    others: tuple[tuple[str, int], ...] = ()
    parameters: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    schema: str = DEFAULT_SCHEMA
    """Where our tables are. It is set in each session, and is no part of a conninfo."""

    @property
    def hosts(self) -> tuple[tuple[str, int], ...]:
        """All hosts with their ports, in the order they are tried."""
        return ((self.host, self.port), *self.others)

    @property
    def connect_seconds(self) -> int:
        """The longest wait for one host."""
        return CONNECT_SECONDS_EACH if self.others else CONNECT_SECONDS

    def place(self) -> str:
        """For people, without user or password."""
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return f"{hosts}/{self.database}" + f" (schema {self.schema})" * (self.schema != DEFAULT_SCHEMA)

    def given(self) -> str:
        """The conninfo for PG_HOST of another process; it holds the password."""
        return self._conninfo({})

    def conninfo(self) -> str:
        """For psycopg. A peer that went silent is given up within about ten seconds; a standby is not taken. Nothing in
        it is a setting of the session: a pooler refuses those, or drops them (`dexexec.store.session`)."""
        return self._conninfo(
            {
                "application_name": "dexexec",
                "hostaddr": "",  # of the environment, which would win over the host
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

        found: dict[str, Any] = {**defaults, **dict(self.parameters)}
        return make_conninfo(
            host=",".join(host for host, _ in self.hosts),
            port=",".join(str(port) for _, port in self.hosts),
            user=self.user,
            dbname=self.database,
            password=self.password or None,
            **found,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a URL, a conninfo or a list of hosts says. What it does not say is None."""

    hosts: tuple[str, ...]
    ports: tuple[int, ...] = ()
    user: str | None = None
    database: str | None = None
    password: str | None = field(default=None, repr=False)
    parameters: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Of a Postgres URL, a conninfo, or hosts by comma. Raises `BadAddressError`."""
        if "://" in text or "=" in text:
            parts = cls._structured(text)
        else:
            parts = cls(hosts=tuple(name for part in text.split(",") if (name := part.strip())))
        if not parts.hosts or not all(parts.hosts):
            raise BadAddressError("must name a host")
        # What libpq reads as a host or a database may be the rest of a password that is not encoded.
        if any("@" in host[1:] for host in parts.hosts) or set("@/?") & set(parts.database or ""):
            raise BadAddressError(UNREADABLE)
        try:
            for name in (host for host in parts.hosts if not host.startswith("/")):
                name.encode("idna")
        except UnicodeError:  # asking for its address would raise this, too
            raise BadAddressError("names a host that cannot be one") from None
        return parts

    @classmethod
    def _structured(cls, text: str) -> Self:
        if "://" in text and not text.startswith(SCHEMES):
            raise BadAddressError("is a URL of another kind: a Postgres' begins with postgresql://")
        from psycopg import ProgrammingError  # noqa: PLC0415 - it takes long to load
        from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

        try:
            found = {name: str(value) for name, value in conninfo_to_dict(text).items() if value is not None}
        except ProgrammingError:  # its message repeats parts of the text
            raise BadAddressError(UNREADABLE) from None
        if found.get("target_session_attrs", "any") not in PRIMARY:
            raise BadAddressError("asks for a standby (target_session_attrs): orders need the primary")
        hosts = tuple((found.get("host") or found.get("hostaddr") or "").split(","))
        kept = {name for name in found if name not in _TAKEN_APART} | ({"hostaddr"} if "host" in found else set())
        return cls(
            hosts=hosts,
            ports=_ports(found["port"], len(hosts)) if "port" in found else (),
            user=found.get("user"),
            database=found.get("dbname"),
            password=found.get("password"),
            parameters=tuple((name, value) for name, value in found.items() if name in kept),
        )


def holds_an_address(text: str) -> bool:
    """Whether a name of a user or a database is more than that, and may hold a password."""
    return "://" in text or bool(re.search(r"\b(password|host|hostaddr)\s*=|:[^@]*@", text))


def checked_schema(name: str) -> str:
    """The name of a schema. Raises `BadAddressError` for one that would need care wherever it is written."""
    if not _SCHEMA.fullmatch(name) or name.lower().startswith("pg_") or name == "information_schema":
        raise BadAddressError(
            "a schema's name has up to 63 letters, digits, _ and -, begins with a letter, and not with pg_,"
            " and is not Postgres' own"
        )
    return name


def address(parts: Parts, ports: tuple[int, ...], user: str, database: str, password: str) -> Address:
    """The address, with what `parts` leaves open filled in. Raises `BadAddressError` when the ports do not fit."""
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

    Raises `ValueError` when one of those is among `explicitly_set` and contradicts `text`.
    """
    try:
        parts = Parts.parse(text) if text else Parts(hosts=("",))
        pairs: dict[str, tuple[object, object]] = {
            "PG_PORT": (frozenset(parts.ports), frozenset(ports)),
            "PG_USER": (parts.user, user),
            "PG_DATABASE": (parts.database, database),
            "PG_PASSWORD": (parts.password, password),
        }
        for other, (inside, beside) in pairs.items():
            if inside and other in explicitly_set and inside != beside:
                raise ValueError(f"{name} and {other} contradict each other: leave one of them out")
        return address(parts, ports, user, database, password)
    except BadAddressError as error:
        raise ValueError(f"{name} {error}") from None


def _ports(text: str, hosts: int) -> tuple[int, ...]:
    """A URL with several hosts leaves those out that are the default, and may leave out all."""
    if not text.strip(","):
        return ()
    try:
        ports = tuple(int(port) if port else DEFAULT_PORT for port in text.split(","))
    except ValueError:
        ports = ()
    if len(ports) not in {1, hosts} or not all(0 < port < 65536 for port in ports):
        raise BadAddressError("has a port that is no number from 1 to 65535")
    return ports
