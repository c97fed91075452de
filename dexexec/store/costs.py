"""What attempts cost: one row for each that is on the chain, written with its outcome, and sums over a time.

Sums read the rows of a time only, by their index, and not more than `MOST_ATTEMPTS` of them in one request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from dexexec.domain.cost import CostSum
from dexexec.store.database import Connection, Database
from dexexec.store.rows import fetch_row

MOST_ATTEMPTS = 1_000_000
"""How many attempts one request sums up, in about a second. The rest is left to the next request."""
MOST_GROUPS = 1_000
MOST_MINTS = 5_000
"""How many groups an answer has at most, and how many sums of mints in its groups together and in its total."""


class GroupBy(StrEnum):
    """What sums can be grouped by: the venue, the UTC day of the proof, the order's tag."""

    VENUE = "venue"
    DAY = "day"
    TAG = "tag"


OF_PROOF = """
jsonb_to_record(proof -> 'cost') AS c(
    fee numeric, "baseFee" numeric, "priorityFee" numeric, "rentPaid" numeric, "rentReturned" numeric,
    "venueFee" numeric, "venueFeeMint" text, slippage numeric, "venueSlippage" numeric, "slippageMint" text,
    tip numeric)
WHERE outcome IN ('landed', 'failed') AND proof ? 'cost'
"""
"""Reads the cost that the proof of an attempt has, as `AttemptCost.detail` writes it."""
COLUMNS = """
c.fee, "baseFee", "priorityFee", "rentPaid", "rentReturned", "venueFee", "venueFeeMint", slippage, "venueSlippage",
"slippageMint"
"""

# For orders whose attempts came back from the chain. Steps do the same for what they resolve (`step_writes.ADVANCE`).
KEEP = f"""
INSERT INTO attempt_costs
SELECT order_id, n, resolved_at, a.venue, tag, outcome = 'landed', {COLUMNS}, o.owner, c.tip
FROM attempts a JOIN orders o ON o.id = a.order_id CROSS JOIN {OF_PROOF} AND order_id = %(id)s
ON CONFLICT DO NOTHING
"""  # noqa: S608 - constants

# Where the sums of this request end: where they are wanted to, or before the first row that is one too many.
ENDS = """
SELECT until, (SELECT at FROM attempt_costs WHERE at >= %(since)s AND at < until ORDER BY at OFFSET %(most)s LIMIT 1)
              AS cut
FROM (SELECT coalesce(%(until)s::timestamptz, clock_timestamp()) AS until) t
"""

KEYS: Mapping[GroupBy, str] = {
    GroupBy.VENUE: "venue",
    GroupBy.DAY: "(at AT TIME ZONE 'UTC')::date",
    GroupBy.TAG: "tag",
}

# All rows are read once, into sums for each group and pair of mints (`s`); the rest works on these few. Sums are texts,
# since readers of JSON would round them.
SUMS = """
WITH s AS MATERIALIZED (
    SELECT {keys}, venue_fee_mint, slippage_mint,
           count(*) FILTER (WHERE landed) AS swaps, count(*) FILTER (WHERE NOT landed) AS failed_attempts,
           sum(fee) AS fees, sum(base_fee) AS base_fees, sum(priority_fee) AS priority_fees,
           sum(fee) FILTER (WHERE NOT landed) AS failed_fees,
           sum(tip) AS tips, sum(rent_paid) AS rent_paid, sum(rent_returned) AS rent_returned,
           count(*) FILTER (WHERE base_fee IS NULL) AS split_unknown,
           count(*) FILTER (WHERE landed AND rent_paid IS NULL) AS rent_unknown,
           count(*) FILTER (WHERE landed AND slippage_mint IS NULL) AS quote_unknown,
           sum(venue_fee) AS venue_fees, sum(slippage) AS slippage, sum(venue_slippage) AS venue_slippage
    FROM attempt_costs WHERE {where}
    GROUP BY 1, 2, 3, 4, 5
), m AS (
    SELECT venue, day, tag, venue_fee_mint AS mint, venue_fees, 0 AS slippage, 0 AS venue_slippage
    FROM s WHERE venue_fee_mint IS NOT NULL
    UNION ALL
    SELECT venue, day, tag, slippage_mint, 0, slippage, venue_slippage FROM s WHERE slippage_mint IS NOT NULL
)
SELECT (SELECT count(*) FROM (SELECT FROM s GROUP BY venue, day, tag) x) AS group_count,
       (SELECT json_agg(x) FROM (
           SELECT venue, day, tag, {network} FROM s GROUP BY venue, day, tag ORDER BY venue, day, tag
           LIMIT %(groups)s) x) AS groups,
       (SELECT json_agg(x) FROM (
           SELECT venue, day, tag, mint, {mints} FROM m GROUP BY venue, day, tag, mint ORDER BY venue, day, tag, mint
           LIMIT %(mints)s) x) AS group_mints,
       (SELECT row_to_json(x) FROM (SELECT {network} FROM s) x) AS total,
       (SELECT json_agg(x) FROM (SELECT mint, {mints} FROM m GROUP BY mint ORDER BY mint LIMIT %(mints)s) x)
           AS total_mints
"""
IN_TIME = "at >= %(since)s AND at < %(until)s AND (%(owner)s::int IS NULL OR owner = %(owner)s)"
OF_CHILDREN = """
order_id IN (SELECT id FROM orders WHERE parent = %(parent)s
             UNION ALL SELECT id FROM archived_orders WHERE parent = %(parent)s)
"""
NETWORK = (
    "swaps", "failed_attempts", "fees", "base_fees", "priority_fees", "failed_fees", "tips", "rent_paid",
    "rent_returned", "split_unknown", "rent_unknown", "quote_unknown",
)  # fmt: skip
"""The sums of `CostSum` that are not of a mint."""
MINTS = ("venue_fees", "slippage", "venue_slippage")
"""Those of `MintSum`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostQuery:
    """Sums of attempts whose outcome was proven from `since` on and before `until` (None: now), for each combination of
    `group_by`; only those of `owner`'s orders (None: of all)."""

    since: datetime
    until: datetime | None
    group_by: tuple[GroupBy, ...]
    owner: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReport:
    """`groups` are sums with the values that they have in common; None for orders without a tag. The sums end before
    `until`, and are to be continued from there if `more`. `groups_omitted` and `mints_omitted` are left out of the
    answer, and not of `total`."""

    until: datetime
    more: bool
    groups: Sequence[tuple[Mapping[GroupBy, str | None], CostSum]]
    total: CostSum
    groups_omitted: int
    mints_omitted: bool


async def read_costs(database: Database, query: CostQuery, most: int = MOST_ATTEMPTS) -> CostReport:
    """Sum up at most `most` attempts."""
    values = {"since": query.since, "until": query.until, "most": most, "groups": MOST_GROUPS, "mints": MOST_MINTS + 1}
    values["owner"] = query.owner
    statement = sums_statement(query.group_by)
    async with database.connection() as connection:
        ends = await fetch_row(connection, ENDS, values)
        more = ends.cut is not None
        until = ends.cut or ends.until
        if until == query.since:
            # More than `most` attempts have this one time: they are summed up in one go, or there would be no progress.
            until += timedelta(microseconds=1)
        row = await fetch_row(connection, statement, values | {"until": until})
    total = _sum_of(row.total, row.total_mints or ())
    groups: dict[tuple[str | None, ...], CostSum] = {}
    for group in row.groups or () if query.group_by else ():
        groups[_key(group)] = _sum_of(group, ())
    for of_mint in row.group_mints or ():
        if (group_sum := groups.get(_key(of_mint))) is not None:
            _add_mint(group_sum, of_mint)
    return CostReport(
        until=until,
        more=more,
        groups=[
            ({name: value for name, value in zip(GroupBy, key, strict=True) if name in query.group_by}, group_sum)
            for key, group_sum in groups.items()
        ],
        total=total,
        groups_omitted=max(0, row.group_count - MOST_GROUPS) if query.group_by else 0,
        mints_omitted=max(len(row.total_mints or ()), len(row.group_mints or ())) > MOST_MINTS,
    )


async def read_costs_of_children(connection: Connection, parent: UUID) -> CostSum:
    """What the slices of a recurring order cost so far: all attempts of theirs whose outcome is proven."""
    values = {"parent": parent, "groups": 1, "mints": MOST_MINTS}
    row = await fetch_row(connection, sums_statement((), OF_CHILDREN), values)
    return _sum_of(row.total, row.total_mints or ())


def sums_statement(group_by: Sequence[GroupBy], where: str = IN_TIME) -> bytes:
    """The statement for these groups: a key that is not wanted is NULL in all rows."""
    keys = ", ".join(f"{KEYS[key] if key in group_by else 'NULL::text'} AS {key}" for key in GroupBy)
    network, mints = (", ".join(f"sum({name})::text AS {name}" for name in names) for names in (NETWORK, MINTS))
    return SUMS.format(keys=keys, where=where, network=network, mints=mints).encode()


def _key(row: Mapping[str, Any]) -> tuple[str | None, ...]:
    return tuple(row[key] for key in GroupBy)


def _sum_of(row: Mapping[str, Any], mints: Sequence[Mapping[str, Any]]) -> CostSum:
    total = CostSum()
    for name in NETWORK:
        setattr(total, name, int(row[name] or 0))
    for of_mint in mints[:MOST_MINTS]:
        _add_mint(total, of_mint)
    return total


def _add_mint(total: CostSum, row: Mapping[str, Any]) -> None:
    sums = total.mint(row["mint"])
    for name in MINTS:
        setattr(sums, name, int(row[name] or 0))
