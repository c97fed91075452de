"""Inspects the schema before it is migrated: it may be empty, or have our tables, an older table, or foreign tables.

Needs no more rights than a running service has. What prevents the migrations is reported in one line with what to do,
before anything is changed.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from dexexec.config.postgres_url import Address
from dexexec.errors import UnusableError
from dexexec.store.database import Connection
from dexexec.store.rows import fetch_row, fetch_rows

OLDEST = 13
"""The first version of Postgres that has everything that the statements use."""
MIGRATIONS = "schema_migrations"
ORDERS = "orders"
TAKEN_OVER = "orders_taken_over"
"""The new name of an older table of orders; sql/0013 copies its rows (docs/adr/0021)."""
OWN_SCHEMA = "dexexec"
"""The schema that is proposed when the configured one has foreign tables."""
OLDER_COLUMNS = frozenset({"id", "side", "amount", "venue", "tx_hash", "status", "failure_reason", "created_at"})
"""The columns of an older table of orders, which may have been created from the documented interface."""
TIMES = frozenset({"timestamp with time zone", "timestamp without time zone", "date"})

ROLE = """
SELECT current_setting('server_version_num')::int / 10000 AS version, current_user AS role,
       n.oid IS NOT NULL AS schema_exists,
       coalesce(has_schema_privilege(n.oid, 'USAGE'), false) AS may_use,
       coalesce(has_schema_privilege(n.oid, 'CREATE'), false) AS may_create,
       has_database_privilege(current_database(), 'CREATE') AS may_create_schemas
FROM (SELECT to_regnamespace(quote_ident(%s))::oid AS oid) n
"""
RELATIONS = """
SELECT c.relname AS name, c.relkind::text AS kind, pg_get_userbyid(c.relowner) AS owner,
       pg_has_role(c.relowner, 'USAGE') AS owned,
       c.relkind NOT IN ('i', 'I', 'c') AND has_table_privilege(c.oid, 'SELECT') AS readable,
       ARRAY(SELECT attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND attnum > 0 AND NOT attisdropped
             ORDER BY attnum) AS columns,
       (SELECT atttypid::regtype::text FROM pg_attribute a WHERE a.attrelid = c.oid AND attname = 'created_at'
        AND NOT attisdropped) AS created_at
FROM pg_class c WHERE c.relnamespace = to_regnamespace(quote_ident(%s)) AND c.relname = ANY(%s)
ORDER BY 1
"""

PASSING = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.ReadOnlySqlTransaction)
"""Errors of the connection or the server, not of the statement: they are outages."""
COUNT_COPIED = f"""
SELECT count(*) AS rows, count(o.id) AS copied FROM {TAKEN_OVER} t LEFT JOIN orders o ON o.id::text = lower(t.id::text)
"""  # noqa: S608 - a constant

_TABLE = re.compile(r"^CREATE TABLE (?:IF NOT EXISTS )?(\w+)", re.MULTILINE)
_MADE = re.compile(r"^CREATE (?:UNIQUE )?(?:TABLE|INDEX)(?: IF NOT EXISTS)? (\w+)", re.MULTILINE)
SHOWN_COLUMNS = 4


def migrations() -> list[tuple[str, str]]:
    """Return the migrations in order, each as file name and SQL."""
    folder = files("dexexec") / "sql"
    return sorted((file.name, file.read_text()) for file in folder.iterdir() if file.name.endswith(".sql"))


def table_names() -> frozenset[str]:
    """Return the names of all tables that migrations make."""
    return frozenset(name for _, text in migrations() for name in _TABLE.findall(text)) | {MIGRATIONS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A table, an index, or another named object."""

    name: str
    kind: str
    owner: str
    owned: bool
    """Whether our role owns it, or is a member of the owner."""
    readable: bool
    columns: tuple[str, ...]
    created_at: str | None
    """The type of the column `created_at`, if there is one."""

    def __str__(self) -> str:
        shown = ", ".join(self.columns[:SHOWN_COLUMNS]) + ", …" * (len(self.columns) > SHOWN_COLUMNS)
        return f"{self.name} ({shown})" if self.kind in {"r", "p", "v", "m", "f"} else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaState:
    """The state of the schema: whether it exists, what our role may do in it, which of our names are taken, and which
    migrations were applied."""

    address: Address
    version: int
    role: str
    schema_exists: bool
    may_use: bool
    may_create: bool
    may_create_schemas: bool
    relations: Mapping[str, Relation]
    applied: frozenset[str]
    pending: tuple[tuple[str, str], ...]

    def check(self) -> None:
        """Raise `UnusableError` unless the pending migrations can be applied."""
        if self.version < OLDEST:
            self._refuse(f"it is Postgres {self.version}, and {OLDEST} or newer is needed")
        self.refuse_newer()
        self._refuse_foreign_tables()
        self._refuse_lack_of_rights()

    @property
    def has_older_table(self) -> bool:
        """Whether there is an older table of orders under our name."""
        relation = self.relations.get(ORDERS)
        if relation is None or self.applied or relation.kind != "r":
            return False
        # Exactly these columns: another program may have a table `orders` too, which must not be renamed.
        return set(relation.columns) == OLDER_COLUMNS and relation.created_at in TIMES

    def refuse_newer(self) -> None:
        """Raise `UnusableError` if a newer version of dexexec has made the tables."""
        known = {name for name, _ in migrations()}
        if newer := sorted(self.applied - known):
            self._refuse(
                f"its tables were made by a newer dexexec ({newer[-1]}) than this one ({max(known)}): start"
                " the newer one. To go back, restore the backup from before it"
            )

    def _refuse_foreign_tables(self) -> None:
        """Refuse a schema where another program's tables have our names."""
        new = {name for _, text in self.pending for name in _MADE.findall(text)}
        # A migration may make an index anew that an earlier one has made.
        new -= {made for name, text in migrations() if name in self.applied for made in _MADE.findall(text)}
        new |= set() if self.applied else {MIGRATIONS}
        new |= {TAKEN_OVER} if self.has_older_table else set()
        taken = [self.relations[name] for name in sorted(new & set(self.relations))]
        foreign = [
            relation
            for relation in taken
            if not self._is_ours(relation) and not (relation.name == ORDERS and self.has_older_table)
        ]
        if foreign:
            proposed = OWN_SCHEMA if self.address.schema != OWN_SCHEMA else f"{OWN_SCHEMA}_orders"
            self._refuse(
                f"the schema {self.address.schema} already has {', '.join(map(str, foreign))}, which dexexec did not"
                f" make. Set PG_SCHEMA={proposed} (dexexec then creates that schema), or PG_DATABASE to a database of"
                " its own"
            )

    def _is_ours(self, relation: Relation) -> bool:
        """Whether this is our table of migrations, still empty."""
        return relation.name == MIGRATIONS and relation.columns == ("name", "applied_at")

    def _refuse_lack_of_rights(self) -> None:
        schema = self.address.schema
        role = self.role
        if not self.pending:
            return
        of_others = [relation for relation in self.relations.values() if not relation.owned]
        if of_others and self.applied:
            waiting = ", ".join(name for name, _ in self.pending)
            self._refuse(
                f"{waiting} must be applied first, by the owner of the tables: run `python -m dexexec migrate` as"
                f" {of_others[0].owner}"
            )
        if not self.schema_exists and not self.may_create_schemas:
            self._refuse(
                f"it has no schema {schema}, and the role {role} may not create one: let the database's owner run"
                f" CREATE SCHEMA {quoted(schema)} AUTHORIZATION {quoted(role)}"
            )
        if self.schema_exists and not (self.may_create and self.may_use):
            other = f", or set PG_SCHEMA={OWN_SCHEMA}, which {role} may create" if self.may_create_schemas else ""
            self._refuse(
                f"the role {role} may not create tables in the schema {schema}: let its owner run GRANT USAGE, CREATE"
                f" ON SCHEMA {quoted(schema)} TO {quoted(role)}{other}"
            )
        if of_others:
            self._refuse(
                f"the table {of_others[0].name} can only be taken over by its owner: start once as"
                f" {of_others[0].owner}, or let it run ALTER TABLE {ORDERS} OWNER TO {quoted(role)}"
            )

    def _refuse(self, problem: str) -> None:
        raise unusable_error(self.address, problem)


async def inspect_schema(connection: Connection, address: Address) -> SchemaState:
    """Read the state of the schema. Raises `UnusableError` if it may not be read, and errors of psycopg."""
    numbered = migrations()
    names = {MIGRATIONS, TAKEN_OVER, *(name for _, text in numbered for name in _MADE.findall(text))}
    cursor = connection.cursor(row_factory=dict_row)
    role: dict[str, Any] = await (await cursor.execute(ROLE, (address.schema,))).fetchone() or {}
    rows = await (await cursor.execute(RELATIONS, (address.schema, sorted(names)))).fetchall()
    relations = {row["name"]: Relation(**row | {"columns": tuple(row["columns"])}) for row in rows}
    applied = await _applied(connection, relations, role, address)
    pending = tuple((name, text) for name, text in numbered if name not in applied)
    return SchemaState(address=address, relations=relations, applied=applied, pending=pending, **role)


async def _applied(
    connection: Connection, relations: Mapping[str, Relation], role: Mapping[str, Any], address: Address
) -> frozenset[str]:
    """Return the migrations that were applied; none if the table of that name belongs to another program."""
    table = relations.get(MIGRATIONS)
    if table is None or table.columns != ("name", "applied_at"):
        return frozenset()
    name = f"{quoted(address.schema)}.{MIGRATIONS}"
    lacking = ""
    if not role["may_use"]:
        lacking = f"USAGE ON SCHEMA {quoted(address.schema)}"
    elif not table.readable:
        lacking = f"SELECT ON {name}"
    if lacking:
        raise unusable_error(
            address,
            f"the role {role['role']} may not read {name}: let its owner run GRANT {lacking} TO"
            f" {quoted(role['role'])}; docs/SCALING.md has all rights that are needed",
        )
    read = sql.SQL("SELECT name FROM {}").format(sql.Identifier(address.schema, MIGRATIONS))
    return frozenset(row.name for row in await fetch_rows(connection, read))


async def count_taken_over(connection: Connection) -> tuple[int, int]:
    """Return how many rows the older table has, and how many of them were copied as orders."""
    row = await fetch_row(connection, COUNT_COPIED)
    return row.rows, row.copied


def unusable_error(address: Address, problem: str) -> UnusableError:
    """The error for a Postgres that cannot be used, in one line."""
    return UnusableError(f"Postgres at {address.place()} cannot be used: {problem}.")


@contextmanager
def explain_refusals(address: Address, doing: Sequence[str]) -> Iterator[None]:
    """Raise `UnusableError` for a statement that Postgres refuses; outages pass. The last item of `doing` names the
    current action."""
    try:
        yield
    except PASSING:
        raise
    except psycopg.Error as error:
        why = error.diag.message_primary or str(error).partition("\n")[0]
        raise unusable_error(
            address,
            f"it refuses {doing[-1]} ({why}). Nothing was changed; docs/SCALING.md has the rights that are needed",
        ) from error


def quoted(name: str) -> str:
    """Return a name as it is written in SQL."""
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else '"' + name.replace('"', '""') + '"'
