"""The query of `GET /api/orders`: filters, the page, and which fields of each order are wanted."""

import base64
import re
import struct
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from pydantic.alias_generators import to_camel

from dexexec.api.cancel_selection import PAIR, TAG, known_pair
from dexexec.api.costs import EXPECTED_TIME, TIME_RULE, parse_time
from dexexec.api.query import BadValueError, Parameter, Query, choice
from dexexec.domain.cancellation import Pair
from dexexec.domain.order_filter import OrderFilter
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType
from dexexec.domain.token import Tokens, looks_like_mint
from dexexec.errors import FieldProblem
from dexexec.intake import order_fields
from dexexec.intake.bracket_terms import GROUP_FIELD
from dexexec.intake.field_types import BASE58_KEY, Schema
from dexexec.store import Cursor

T = TypeVar("T")

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
STRAY = "is not a parameter of this list"

_NAME = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}"
_KEY = "[ -~]{1,64}"
_UUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR = struct.Struct(">q16s")


def _parse_limit(text: str) -> int:
    limit = int(text) if re.fullmatch("[0-9]{1,3}", text) else 0
    if not 1 <= limit <= MAX_LIMIT:
        raise BadValueError("is not a usable limit")
    return limit


def _parse_cursor(text: str) -> Cursor | None:
    cursor = decode_cursor(text)
    if cursor is None:
        raise BadValueError("is not a cursor of this list")
    return cursor


def _parse_statuses(text: str) -> frozenset[Status]:
    by_name = {status.value: status for status in Status}
    if not all(name in by_name for name in text.split(",")):
        raise BadValueError("is not a status")
    return frozenset(by_name[name] for name in text.split(","))


def _parse_mint(text: str) -> str:
    if not looks_like_mint(text):
        raise BadValueError("is not a mint")
    return text


def _matching(pattern: str, problem: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise BadValueError(problem)
        return text

    return parse


def _parse_order_id(text: str) -> UUID:
    return UUID(_matching(_UUID, "is not an order's id")(text))


STATUS = Parameter(
    name="status",
    description="Only orders with one of these statuses, separated by commas.",
    rule={
        "type": "array",
        "items": {"type": "string", "enum": [status.value for status in Status]},
        "minItems": 1,
    },
    parse=_parse_statuses,
    expected=f"one of {', '.join(s.value for s in Status)}",
)
LIMIT = Parameter(
    name="limit",
    description="How many orders a page has at most.",
    rule={"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    expected=f"an integer from 1 to {MAX_LIMIT}",
    parse=_parse_limit,
)
CURSOR = Parameter(
    name="cursor",
    description="`next` of the page before, unchanged.",
    rule={"type": "string", "format": "cursor", "pattern": "^[A-Za-z0-9_-]{32}$"},
    expected="`next` of an answer, unchanged",
    parse=_parse_cursor,
)
FROM: Parameter[datetime | None] = Parameter(
    name="from",
    description="Only orders that were created from this UTC day or time on.",
    rule=TIME_RULE,
    expected=EXPECTED_TIME,
    parse=parse_time,
)
TO: Parameter[datetime | None] = Parameter(
    name="to",
    description="Only orders that were created before this UTC day or time.",
    rule=TIME_RULE,
    expected=EXPECTED_TIME,
    parse=parse_time,
)
INPUT_MINT: Parameter[str | None] = Parameter(
    name="inputMint",
    description="With outputMint: only orders of this pair. The same as `pair`.",
    rule={"type": "string", "format": "mint", "pattern": BASE58_KEY},
    expected="a mint address in base58",
    parse=_parse_mint,
)
OUTPUT_MINT: Parameter[str | None] = Parameter(
    name="outputMint",
    description="With inputMint: only orders of this pair. The same as `pair`.",
    rule={"type": "string", "format": "mint", "pattern": BASE58_KEY},
    expected="a mint address in base58",
    parse=_parse_mint,
)
VENUE: Parameter[str | None] = Parameter(
    name="venue",
    description="Only orders whose latest attempt is on this venue.",
    rule={"type": "string", "pattern": f"^{_NAME}$", "examples": ["mock-raydium"]},
    expected="the name of a venue such as mock-raydium",
    parse=_matching(_NAME, "is not the name of a venue"),
)
REASON: Parameter[str | None] = Parameter(
    name="reason",
    description="Only orders that ended with this failureReason.",
    rule={"type": "string", "pattern": "^[a-z][a-z0-9-]{0,63}$", "examples": ["no-route"]},
    expected="a failureReason such as no-route",
    parse=_matching("[a-z][a-z0-9-]{0,63}", "is not a failureReason"),
)
TYPE: Parameter[OrderType | None] = Parameter(
    name="type",
    description="Only orders of this kind.",
    rule={"type": "string", "enum": [kind.value for kind in OrderType]},
    expected=f"one of {', '.join(OrderType)}",
    parse=choice({kind.value: kind for kind in OrderType}, "is not a kind of order"),
)
DRY_RUN: Parameter[bool | None] = Parameter(
    name="dryRun",
    description="true: only dry runs. false: only orders that are executed.",
    rule={"type": "boolean"},
    expected="true or false",
    parse=choice({"true": True, "false": False}, "is not a boolean"),
)
PARENT: Parameter[UUID | None] = Parameter(
    name="parent",
    description="Only orders that the service made for this order: slices of a recurring order, exits of a bracket.",
    rule={"type": "string", "format": "uuid", "pattern": f"^{_UUID}$"},
    expected="the orderId of another order",
    parse=_parse_order_id,
)
GROUP: Parameter[str | None] = Parameter(
    name="ocoGroup",
    description="Only orders of this group.",
    rule=GROUP_FIELD.rule(),
    expected=GROUP_FIELD.expected,
    parse=_matching(GROUP_FIELD.pattern, "is not the name of a group"),
)
WALLET: Parameter[str | None] = Parameter(
    name="wallet",
    description="Only orders that name this wallet.",
    rule={"type": "string", "pattern": f"^{_NAME}$"},
    expected="the name of a wallet such as desk-2",
    parse=_matching(_NAME, "is not the name of a wallet"),
)
KEY: Parameter[str | None] = Parameter(
    name="key",
    description="Only orders that were posted with the key of this name. For keys with the scope admin.",
    rule={"type": "string", "pattern": f"^{_KEY}$"},
    expected="the name of a key",
    parse=_matching(_KEY, "is not the name of a key"),
)
TOTALS = Parameter(
    name="totals",
    description="true: also count the orders of the whole list by status.",
    rule={"type": "boolean", "default": False},
    expected="true or false",
    parse=choice({"true": True, "false": False}, "is not a boolean"),
)
_FILTERS: tuple[Parameter[Any], ...] = (
    *(STATUS, FROM, TO, VENUE, PAIR, INPUT_MINT, OUTPUT_MINT, REASON, TYPE, DRY_RUN, TAG, PARENT, GROUP, WALLET, KEY),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """A list request. `key` is the name of the key whose orders are wanted, `fields` those of each order (None: all).
    `given` is the query without the cursor, for the link to the next page."""

    wanted: OrderFilter
    key: str | None
    limit: int
    before: Cursor | None
    fields: tuple[str, ...] | None
    totals: bool
    given: Mapping[str, str]


def fields_parameter(names_of_fields: Callable[[], Sequence[str]]) -> Parameter[tuple[str, ...] | None]:
    """The parameter that chooses fields of an answer."""

    def parse(text: str) -> tuple[str, ...]:
        names = text.split(",")
        shown = names_of_fields()
        for name in names:
            if name not in shown:
                problem = f"has no field of this answer: {order_fields.shown(name)}"
                raise BadValueError(problem, f"one or more of {', '.join(shown)}")
        return tuple(names)

    def rule() -> Schema:
        return {
            "type": "array",
            "items": {"type": "string", "enum": names_of_fields()},
            "minItems": 1,
            "examples": [["orderId", "status"]],
        }

    return Parameter(
        name="fields",
        description="Only these fields of an order, separated by commas.",
        rule=rule,
        parse=parse,
    )


# The models of answers take a fifth of the whole start, and few clients choose fields.
@cache
def _fields_of_summaries() -> list[str]:
    from dexexec.api.contract.order_answers import OrderSummary  # noqa: PLC0415

    return [to_camel(name) for name in OrderSummary.model_fields]


@cache
def _fields_of_orders() -> list[str]:
    from dexexec.api.contract.history_answers import Order  # noqa: PLC0415

    return [to_camel(name) for name in Order.model_fields]


FIELDS = fields_parameter(_fields_of_summaries)
PARAMETERS: tuple[Parameter[Any], ...] = (STATUS, LIMIT, CURSOR, *_FILTERS[1:], TOTALS, FIELDS)
ONE_ORDER = (fields_parameter(_fields_of_orders),)
"""The parameters of `GET /api/orders/{id}`."""


def read_list_query(arguments: Mapping[str, list[bytes]], tokens: Tokens) -> ListQuery:
    """The list request in a query. Raises `InvalidQueryError` with every bad parameter."""
    query = Query(arguments, PARAMETERS, STRAY)
    since = query.get(FROM, None)
    until = query.get(TO, None)
    if since is not None and until is not None and until <= since:
        query.problems.append(FieldProblem("to", "is not after from", "a later time than from"))
    wanted = OrderFilter(
        statuses=query.get(STATUS, frozenset()),
        since=since,
        until=until,
        venue=query.get(VENUE, None),
        pair=_read_pair(query, tokens),
        reason=query.get(REASON, None),
        type=query.get(TYPE, None),
        dry_run=query.get(DRY_RUN, None),
        tag=query.get(TAG, None),
        parent=query.get(PARENT, None),
        oco_group=query.get(GROUP, None),
        wallet=query.get(WALLET, None),
    )
    query.check()
    # The link to the next page repeats the query as it was sent: a day stays a day, and a symbol a symbol.
    return ListQuery(
        wanted=wanted,
        key=query.get(KEY, None),
        limit=query.get(LIMIT, DEFAULT_LIMIT),
        before=query.get(CURSOR, None),
        fields=query.get(FIELDS, None),
        totals=query.get(TOTALS, False),
        given={name: values[0].decode() for name, values in arguments.items() if name != CURSOR.name},
    )


def read_fields(arguments: Mapping[str, list[bytes]]) -> tuple[str, ...] | None:
    """The fields of one order that a query names; None: all. Raises `InvalidQueryError`."""
    [fields] = ONE_ORDER
    query = Query(arguments, ONE_ORDER, "is not a parameter of an order")
    query.check()
    return query.get(fields, None)


def only(order: Mapping[str, object], fields: Sequence[str] | None) -> dict[str, object]:
    """An order with these fields of its own, in their order; with None all."""
    return dict(order) if fields is None else {name: order[name] for name in fields if name in order}


def encode_cursor(cursor: Cursor) -> str:
    """A cursor, opaque to clients: microseconds since 1970 and the id, base64url."""
    micros = (cursor.created_at - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(_CURSOR.pack(micros, cursor.id.bytes)).decode()


def decode_cursor(text: str) -> Cursor | None:
    """Inverse of `encode_cursor`; None for anything else."""
    try:
        micros, order_id = _CURSOR.unpack(base64.b64decode(text, altchars=b"-_", validate=True))
        return Cursor(_EPOCH + timedelta(microseconds=micros), UUID(bytes=order_id))
    except (Base64Error, struct.error, OverflowError, ValueError):  # ValueError: not ASCII
        return None


def _read_pair(query: Query, tokens: Tokens) -> Pair | None:
    """The pair, which has one of two forms."""
    given = query.get(PAIR, None)
    spent = query.get(INPUT_MINT, None)
    received = query.get(OUTPUT_MINT, None)
    if given is not None:
        if spent is not None or received is not None:
            stray = OUTPUT_MINT if spent is None else INPUT_MINT
            query.problems.append(FieldProblem(stray.name, "is given beside pair", "pair, or both mints"))
        return known_pair(given, tokens, query.problems)
    if spent is not None and received is not None:
        return Pair(spent, received)
    if spent is not None or received is not None:
        # A pair has an index. One mint may be in all orders but a few.
        here, other = (INPUT_MINT, OUTPUT_MINT) if received is None else (OUTPUT_MINT, INPUT_MINT)
        if other.name not in {problem.field for problem in query.problems}:
            query.problems.append(FieldProblem(other.name, f"is missing beside {here.name}", "both mints, or pair"))
    return None
