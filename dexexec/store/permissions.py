"""Checks at the start that the Postgres role has every right that a running service needs.

Otherwise a missing right would fail only the first statement that needs it.
"""

import json

from dexexec.config.postgres_url import Address
from dexexec.store.database import Connection, Database
from dexexec.store.rows import fetch_row
from dexexec.store.schema import MIGRATIONS, quoted, unusable_error

RIGHTS = {
    "api_key_secrets": "SELECT, UPDATE",
    "api_keys": "SELECT",
    "archived_events": "SELECT",
    "archived_orders": "SELECT, UPDATE",
    "attempt_costs": "SELECT, INSERT, UPDATE",
    "attempts": "SELECT, INSERT, UPDATE",
    "chain_comparisons": "SELECT, INSERT, UPDATE",
    "handouts": "SELECT, INSERT, UPDATE, DELETE",
    "halts": "SELECT, UPDATE",
    "idempotency_keys": "SELECT, INSERT, DELETE",
    "installation": "SELECT",
    "oco_groups": "SELECT, INSERT, UPDATE",
    "order_events": "SELECT, INSERT",
    "orders": "SELECT, INSERT, UPDATE",
    "program_versions": "SELECT, INSERT, UPDATE",
    "policy_spending": "SELECT, INSERT, UPDATE",
    "restored_keys": "SELECT, INSERT",
    "launches": "SELECT, INSERT, UPDATE, DELETE",
    MIGRATIONS: "SELECT",
    "simulated_swaps": "SELECT, INSERT, UPDATE",
    "webhook_deliveries": "SELECT, INSERT, UPDATE, DELETE",
    "webhooks": "SELECT, INSERT, UPDATE, DELETE",
    "workers": "SELECT, INSERT, UPDATE, DELETE",
    "write_probes": "SELECT, INSERT, TRUNCATE",
}
"""The rights of the role of a running service; docs/SCALING.md grants them. Archiving needs the owner (`OWNED`)."""
LACKING = """
SELECT name, privilege FROM json_each_text(%s::json) AS rights(name, privileges),
    LATERAL regexp_split_to_table(privileges, ', ') AS privilege
WHERE NOT has_table_privilege(format('%%I.%%I', %s::text, name), privilege)
ORDER BY 1, 2
"""

OWNED = """
SELECT bool_and(pg_has_role(relowner, 'USAGE') AND has_schema_privilege(relnamespace, 'CREATE')) AS owned,
       min(pg_get_userbyid(relowner)) AS owner
FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident(%s))
  AND relname IN ('archived_events', 'archived_orders', 'orders', 'order_events', 'attempts', 'attempt_costs',
                  'idempotency_keys', 'oco_groups', 'policy_spending', 'simulated_swaps')
"""


async def check_rights(connection: Connection, address: Address) -> None:
    """Raise `UnusableError` unless our role has all rights on the tables."""
    lacking = await fetch_row(connection, LACKING, (json.dumps(RIGHTS), address.schema))
    if lacking is not None:
        table = lacking.name
        role = (await fetch_row(connection, "SELECT current_user AS role")).role
        raise unusable_error(
            address,
            f"the role {role} lacks rights, among them {lacking.privilege} on {table}: let the tables' owner run"
            f" GRANT {RIGHTS[table]} ON {quoted(address.schema)}.{table} TO {quoted(role)}; docs/SCALING.md lists"
            " all rights",
        )


async def check_ownership(database: Database) -> None:
    """Raise `UnusableError` unless our role may create, attach and drop partitions of the archive."""
    address = database.address
    async with database.connection() as connection:
        row = await fetch_row(connection, OWNED, (address.schema,))
    if not row.owned:
        raise unusable_error(
            address,
            f"DEXEXEC_KEEP_DAYS is set, and only the owner of the tables may create and drop the archive's partitions:"
            f" run workers as {row.owner}, or unset it",
        )
