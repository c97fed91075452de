"""The rights that the role of a running service needs, looked at when it starts: what it lacks shows only in use."""

import json

from dexexec.config.postgres_url import Address
from dexexec.store.database import Connection, Database
from dexexec.store.schema import MIGRATIONS, quoted, unusable

RIGHTS = {
    "archived_orders": "SELECT",
    "attempts": "SELECT, INSERT, UPDATE",
    "chain_comparisons": "SELECT, INSERT, UPDATE",
    "idempotency_keys": "SELECT, INSERT, DELETE",
    "installation": "SELECT",
    "order_events": "SELECT, INSERT",
    "orders": "SELECT, INSERT, UPDATE",
    "restored_keys": "SELECT, INSERT",
    MIGRATIONS: "SELECT",
    "simulated_swaps": "SELECT, INSERT, UPDATE",
    "workers": "SELECT, INSERT, UPDATE, DELETE",
    "write_probes": "SELECT, INSERT, TRUNCATE",
}
"""What the role of a running service needs; docs/SCALING.md grants it. The archive is the owner's affair."""
LACKING = """
SELECT name, privilege FROM json_each_text(%s::json) AS rights(name, privileges),
    LATERAL regexp_split_to_table(privileges, ', ') AS privilege
WHERE NOT has_table_privilege(format('%%I.%%I', %s::text, name), privilege)
ORDER BY 1, 2
"""

OWNED = """
SELECT bool_and(pg_has_role(relowner, 'USAGE') AND has_schema_privilege(relnamespace, 'CREATE')),
       min(pg_get_userbyid(relowner))
FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident(%s))
  AND relname IN ('archived_orders', 'orders', 'order_events', 'attempts', 'idempotency_keys', 'simulated_swaps')
"""


async def check_rights(connection: Connection, address: Address) -> None:
    """Raises `UnusableError` unless our role may do with the tables what a running service does."""
    rows = await (await connection.execute(LACKING, (json.dumps(RIGHTS), address.schema))).fetchall()
    if rows:
        table, privilege = rows[0]
        row = await (await connection.execute("SELECT current_user")).fetchone()
        role = row[0] if row else ""
        raise unusable(
            address,
            f"the role {role} lacks rights, {privilege} on {table} first of all: let the tables' owner run GRANT"
            f" {RIGHTS[table]} ON {quoted(address.schema)}.{table} TO {quoted(role)}; docs/SCALING.md has all",
        )


async def check_ownership(database: Database) -> None:
    """Raises `UnusableError` unless our role may make, attach and drop partitions of the archive."""
    address = database.address
    async with database.connection() as connection:
        row = await (await connection.execute(OWNED, (address.schema,))).fetchone()
    if row and not row[0]:
        raise unusable(
            address,
            f"DEXEXEC_KEEP_DAYS is set, and the archive's partitions are made and dropped by the owner of the tables:"
            f" run workers as {row[1]}, or unset it",
        )
