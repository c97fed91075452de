"""The JSON Schema of a body: one for each kind of order, made of the fields that validate it, and that of a change.

The rules between fields are here a second time, since JSON Schema has its own words for them; a test compares both on
many bodies. What depends on settings, on a token's decimals or on the time is not in a schema.
"""

from collections.abc import Mapping

from dexexec.domain.terms import OrderType
from dexexec.intake.amending import AMENDABLE, REMOVABLE
from dexexec.intake.bracket_terms import BRACKET_FIELD, GROUP_FIELD
from dexexec.intake.client_signing import TRANSACTION
from dexexec.intake.field_types import DECIMAL, Field, Schema, nullable, object_schema
from dexexec.intake.order_body import (
    AMOUNT,
    DEADLINE_SECONDS,
    DRY_RUN,
    INPUT_MINT,
    MAX_PRICE_IMPACT_BPS,
    MODE,
    ORDER_FIELDS,
    OUTPUT_MINT,
    SIDE,
    SLIPPAGE_BPS,
)
from dexexec.intake.order_terms import (
    EXPIRES_AT,
    TAG,
    TIME_IN_FORCE,
    TRAIL_BPS,
    TRIGGER_FIELDS,
    TYPE,
)
from dexexec.intake.payer_field import PAYER
from dexexec.intake.price_bounds import BOUND_FIELDS, LIMIT_PRICE, MAX_IN, MIN_OUT
from dexexec.intake.recurring_terms import EVERY, RECURRING_FIELDS, SLICES
from dexexec.intake.share_terms import CLOSE_ACCOUNT
from dexexec.intake.sniper_terms import MINT, ONE_MODE, ONE_SIDE, SNIPER_FIELDS
from dexexec.intake.wallet_choice import WALLET

# A sniper's pair is its own: it names the mint that it buys.
PAIR = (INPUT_MINT, OUTPUT_MINT)
OF_ALL = (WALLET, TAG, DRY_RUN)
OF_SWAPS = (SIDE, AMOUNT, MODE, *PAIR, MAX_PRICE_IMPACT_BPS, CLOSE_ACCOUNT, GROUP_FIELD, BRACKET_FIELD, *OF_ALL)
"""Fields of every order that is one swap of a pair."""
[LIMIT_PRICE_FIELD] = [field for field in BOUND_FIELDS if field.name == LIMIT_PRICE]

_EXACT_OUT: Schema = {"properties": {"mode": {"const": "exactOut"}}, "required": ["mode"]}
_FIXED: Schema = {"properties": {"amount": {"anyOf": [{"type": "number"}, {"pattern": DECIMAL}]}}}
# Less than all of the balance: then the account is not empty, and cannot be closed.
_PART: Schema = {"properties": {"amount": {"type": "string", "pattern": r"%$", "not": {"pattern": "^100"}}}}
_KEPT_OPEN: Schema = {"properties": {"closeAccount": {"const": False}}}
_WITH_TRIGGER: Schema = {
    "oneOf": [{"required": [field.name for field in TRIGGER_FIELDS]}, {"required": [TRAIL_BPS.name]}],
    "dependentRequired": {"triggerPrice": ["triggerWhen"], "triggerWhen": ["triggerPrice"]},
}
_SHARES = (
    # A share is of what is spent, so `exactOut` leaves it open; and only the whole balance empties the account.
    {"if": _EXACT_OUT, "then": {"allOf": [_FIXED, _KEPT_OPEN]}},
    {"if": {"allOf": [_PART, {"required": ["amount"]}]}, "then": _KEPT_OPEN},
)


def without(*names: str) -> Schema:
    """The schema of an object that has none of these fields."""
    return {"properties": dict.fromkeys(names, False)}


_SIGNED_BY_CLIENT: Schema = {"allOf": [_FIXED, _KEPT_OPEN, without(WALLET.name, BRACKET_FIELD.name, GROUP_FIELD.name)]}


def order_schemas() -> Mapping[str, Schema]:
    """The schema of each kind of order, by its name; each is disjoint from the others."""
    return {
        "MarketOrder": _kind(
            "Swaps now, at the best quote of all venues, net of fees.",
            *OF_SWAPS, TYPE, SLIPPAGE_BPS, DEADLINE_SECONDS, *BOUND_FIELDS, PAYER,
            order_type=OrderType.MARKET,
            required=("side", "amount"),
            rules=(
                {"if": _EXACT_OUT, "then": without(MIN_OUT), "else": without(MAX_IN)},
                _at_most_one(MIN_OUT, MAX_IN, LIMIT_PRICE),
                # An amount or a price for a swap whose size is not known yet.
                {"anyOf": [_FIXED, without(MIN_OUT, LIMIT_PRICE)]},
                *_SHARES,
                {"if": {"required": [PAYER.name]}, "then": _SIGNED_BY_CLIENT},
            ),
        ),
        "StopOrder": _kind(
            "A stop, a take-profit or a trailing stop: a market order once its price is reached.",
            *OF_SWAPS, TYPE, SLIPPAGE_BPS, *TRIGGER_FIELDS, TRAIL_BPS, EXPIRES_AT,
            order_type=OrderType.MARKET,
            required=("side", "amount"),
            # Its bound comes from the round that executes it, so it has no field for one.
            rules=(_WITH_TRIGGER, *_SHARES),
        ),
        "LimitOrder": _kind(
            "Waits for a price, and is never filled at a worse one. With a trigger it waits for that first.",
            *OF_SWAPS, TYPE, LIMIT_PRICE_FIELD, TIME_IN_FORCE, EXPIRES_AT, DEADLINE_SECONDS, *TRIGGER_FIELDS, TRAIL_BPS,
            order_type=OrderType.LIMIT,
            required=("type", "side", "amount", LIMIT_PRICE),
            rules=(*_times_of_limit(), *_SHARES),
        ),
        "RecurringOrder": _kind(
            "Swaps an amount in equal parts, one after each interval. Each part is an order of its own.",
            SIDE, AMOUNT, MODE, *PAIR, TYPE, *RECURRING_FIELDS, EXPIRES_AT, SLIPPAGE_BPS, MAX_PRICE_IMPACT_BPS,
            DEADLINE_SECONDS, CLOSE_ACCOUNT, *OF_ALL,
            order_type=OrderType.RECURRING,
            required=("type", "side", "amount", SLICES.name, EVERY.name),
            # `false` changes nothing, so it fits every kind; only `true` would be a wish that cannot be granted.
            rules=(_FIXED, _KEPT_OPEN),
        ),
        "SniperOrder": _kind(
            "Waits for the launch of a pool, and buys once if the pool fulfils every condition.",
            ONE_SIDE, AMOUNT, ONE_MODE, INPUT_MINT, TYPE, *SNIPER_FIELDS, EXPIRES_AT, SLIPPAGE_BPS, CLOSE_ACCOUNT,
            GROUP_FIELD, *OF_ALL,
            order_type=OrderType.SNIPER,
            required=("type", MINT.name, "amount"),
            rules=(
                _FIXED,
                _KEPT_OPEN,
                {
                    "if": {"properties": {"conditions": {"required": ["maxPrice"]}}, "required": ["conditions"]},
                    "then": without(SLIPPAGE_BPS.name),
                },
            ),
        ),
    }  # fmt: skip


def change_schema() -> Schema:
    """The schema of a change. Which fields an order of some type has is in the text of each."""
    by_name = {field.name: field for field in ORDER_FIELDS}
    # A dictionary, since it keeps the order and drops what two types have in common.
    names = dict.fromkeys(name for fields in AMENDABLE.values() for name in fields)
    properties = {name: by_name[name].schema() for name in names}
    properties |= {name: nullable(properties[name]) for name in REMOVABLE}
    return {
        "type": "object",
        "description": "The fields to change, by the rules of a new order. `null` takes one away. Of a recurring order:"
        " minPrice, maxPrice and expiresAt; of a sniper: conditions, expiresAt and amount; of others: all but these"
        " prices and conditions.",
        "properties": properties,
        "minProperties": 1,
        "additionalProperties": False,
    }


def signed_schema() -> Schema:
    """The schema of a transaction that a client has signed."""
    return {
        "description": "The transaction that the order waits for, signed by its `payer`.",
        **object_schema(TRANSACTION, required=(TRANSACTION.name,)),
    }


def _kind(
    description: str, *fields: Field, order_type: OrderType, required: tuple[str, ...], rules: tuple[Schema, ...]
) -> Schema:
    schema = object_schema(*fields, required=required)
    properties = schema["properties"]
    assert isinstance(properties, dict)  # noqa: S101 - of `object_schema`
    # One value, and not all of them: it is what tells the kinds apart.
    properties["type"] = {"type": "string", "const": order_type.value, "description": TYPE.description}
    return {"description": description, **schema, "allOf": list(rules)}


def _times_of_limit() -> tuple[Schema, ...]:
    once: Schema = {"properties": {"timeInForce": {"enum": ["IOC", "FOK"]}}, "required": ["timeInForce"]}
    trigger: Schema = {"anyOf": [{"required": [field.name]} for field in (*TRIGGER_FIELDS, TRAIL_BPS)]}
    tried_at_once: Schema = {"allOf": [once, {"not": trigger}]}
    return (
        {"if": trigger, "then": _WITH_TRIGGER},
        # What is tried at once has a deadline; what rests may have an expiry.
        {"if": tried_at_once, "then": without(EXPIRES_AT.name), "else": without(DEADLINE_SECONDS.name)},
        _if_in_force("GTT", {"required": [EXPIRES_AT.name]}),
        _if_in_force("GTC", without(EXPIRES_AT.name)),
    )


def _if_in_force(time_in_force: str, then: Schema) -> Schema:
    given: Schema = {"properties": {"timeInForce": {"const": time_in_force}}, "required": ["timeInForce"]}
    return {"if": given, "then": then}


def _at_most_one(*names: str) -> Schema:
    # By pairs: JSON Schema has no word for "at most one of these".
    pairs = [(one, other) for index, one in enumerate(names) for other in names[index + 1 :]]
    return {"not": {"anyOf": [{"required": list(pair)} for pair in pairs]}}
