"""The fields of a sniper: the mint that it waits for, and its conditions. Beside `order_terms` on an order's way."""

import json
import re
from collections.abc import Collection, Mapping

from dexexec.domain import base58
from dexexec.domain.order import Side
from dexexec.domain.quote import BPS, Mode
from dexexec.domain.sniper_conditions import Condition, SniperConditions
from dexexec.domain.terms import Terms
from dexexec.domain.token import Token
from dexexec.intake.field_types import (
    Choice,
    DecimalField,
    Field,
    Flag,
    Integer,
    MintField,
    Nested,
    Schema,
    object_schema,
)
from dexexec.intake.order_fields import SHOWN, OrderFields, shown
from dexexec.intake.order_terms import read_expiry
from dexexec.intake.price_bounds import plain

NOT_FOR_SNIPERS: Mapping[str, str] = {
    "outputMint": "mint: the token to buy",
    "minOut": "conditions.maxPrice",
    "maxIn": "conditions.maxPrice",
    "limitPrice": "conditions.maxPrice",
    "maxPriceImpactBps": "conditions.maxPriceImpactBps",
    "deadlineSeconds": "expiresAt",
    "timeInForce": "expiresAt: it rests until then, or until it is cancelled",
    "triggerPrice": "conditions.maxPrice",
    "triggerWhen": "conditions.maxPrice",
    "trailBps": "conditions.maxPrice",
    "bracket": "orders of their own after the fill: what is bought is not known before",
}
"""Fields of other orders, and what would be right."""
ONE_SIDE = Choice(
    name="side",
    description="A sniper spends `inputMint`.",
    noun="side",
    choices={Side.BUY.value: Side.BUY},
    expected='"buy": it spends inputMint',
)
ONE_MODE = Choice(
    name="mode",
    description="A sniper spends a fixed amount.",
    noun="mode",
    choices={Mode.EXACT_IN.value: Mode.EXACT_IN},
    expected='"exactIn"',
)
MAX_AGE_MS = 86_400_000
MAX_VENUES = 32
MINT_BYTES = 32
MINT_LETTERS = 44
_VENUE = re.compile(r"[a-z0-9-]{1,40}")
_EXPECTED_MINT = "the address of a mint: 32 bytes in base58"

MIN_LIQUIDITY = DecimalField(
    name=Condition.MIN_LIQUIDITY.value,
    description="The pool holds at least this many tokens of `inputMint`.",
    example="20",
)
MAX_IMPACT_BPS = Integer(
    name=Condition.MAX_PRICE_IMPACT_BPS.value,
    least=0,
    most=BPS,
    description="The order moves the price no further, in bps.",
)
MAX_PRICE = DecimalField(
    name=Condition.MAX_PRICE.value,
    description="It pays at most this many tokens of `inputMint` for one token of `mint`, fees included.",
    example="0.00005",
)
MAX_AGE = Integer(
    name=Condition.MAX_AGE_MS.value,
    least=1,
    most=MAX_AGE_MS,
    description="The pool has allowed swaps for at most this long, in milliseconds.",
    example=60_000,
)
MINT_AUTHORITY_REVOKED = Flag(
    name=Condition.MINT_AUTHORITY_REVOKED.value, description="No account can mint more of the token."
)
FREEZE_AUTHORITY_REVOKED = Flag(
    name=Condition.FREEZE_AUTHORITY_REVOKED.value, description="No account can freeze accounts of the token."
)
MAX_TRANSFER_FEE_BPS = Integer(
    name=Condition.MAX_TRANSFER_FEE_BPS.value,
    least=0,
    most=BPS,
    description="Neither token takes a higher fee of a transfer, in bps.",
)


def _venues_schema() -> Schema:
    entry = {"type": "string", "pattern": f"^{_VENUE.pattern}$", "format": "venue"}
    return {"type": "array", "items": entry, "minItems": 1, "maxItems": MAX_VENUES, "uniqueItems": True}


VENUES = Nested(
    name=Condition.VENUES.value,
    description="The pool is of one of these venues.",
    of=_venues_schema,
    example=["raydium"],
)
CONDITION_FIELDS: tuple[Field, ...] = (
    MIN_LIQUIDITY,
    MAX_IMPACT_BPS,
    MAX_PRICE,
    MAX_AGE,
    MINT_AUTHORITY_REVOKED,
    FREEZE_AUTHORITY_REVOKED,
    MAX_TRANSFER_FEE_BPS,
    VENUES,
)
MINT = MintField(
    name="mint",
    description="The token whose launch the order waits for. It need not be configured, nor exist yet.",
    example="7s1Pa6RQEp8dxzM324cM7SosFMQd6LcQyzsEzTEoTrUZ",
)
CONDITIONS = Nested(
    name="conditions",
    description="What the new pool must fulfil. Each is optional.",
    of=lambda: object_schema(*CONDITION_FIELDS),
    example={"minLiquidity": "20", "mintAuthorityRevoked": True},
)
SNIPER_FIELDS: tuple[Field, ...] = (MINT, CONDITIONS)


def refuse_sniper_fields(fields: OrderFields) -> None:
    """Records the fields of a sniper in another order."""
    for field in SNIPER_FIELDS:
        if field.name in fields.given:
            fields.wrong(field.name, "does not fit the type", 'only with "type": "sniper"')


def read_mint(fields: OrderFields, spent: Token | None) -> Token | None:
    """The token to buy, which need not be configured or exist yet. Its decimals are read from the chain when a pool is
    launched, so they are 0 here. `spent` is the token that pays for it."""
    value = fields.given.get("mint")
    if type(value) is str and _is_mint(value):
        if spent is not None and value == spent.mint:
            fields.wrong("mint", "is the same as inputMint", "two different mints")
            return None
        return Token(value, value[:4], 0)
    problem = "is not an address" if type(value) is str else fields.kind("mint")
    fields.wrong("mint", problem, _EXPECTED_MINT)
    return None


def read_sniper(fields: OrderFields, venues: Collection[str], now_ms: int) -> Terms:
    """The terms of a sniper. `venues` are the enabled ones; empty: they are not known here."""
    for name in fields.given:
        if name in NOT_FOR_SNIPERS:
            fields.wrong(name, "does not fit a sniper", NOT_FOR_SNIPERS[name])
    return Terms(expires_at=read_expiry(fields, now_ms), conditions=_conditions(fields, venues))


def canonical_conditions(conditions: SniperConditions) -> str:
    """The conditions as one text, whatever the order of their names and the notation of their numbers was."""
    numbers = {Condition.MIN_LIQUIDITY: conditions.min_liquidity, Condition.MAX_PRICE: conditions.max_price}
    texts = {name.value: plain(number) for name, number in numbers.items() if number is not None}
    return json.dumps(conditions.detail() | texts, sort_keys=True)


def _conditions(fields: OrderFields, venues: Collection[str]) -> SniperConditions:
    given = fields.given.get("conditions", {})
    if not isinstance(given, dict):
        fields.wrong("conditions", fields.kind("conditions"), 'an object such as {"minLiquidity": "100"}')
        return SniperConditions()
    inner = OrderFields(given, tuple(Condition), "is not a condition of a sniper")
    conditions = SniperConditions(
        min_liquidity=MIN_LIQUIDITY.read(inner),
        max_price_impact_bps=MAX_IMPACT_BPS.optional(inner),
        max_price=MAX_PRICE.read(inner),
        max_age_ms=MAX_AGE.optional(inner),
        mint_authority_revoked=MINT_AUTHORITY_REVOKED.read(inner),
        freeze_authority_revoked=FREEZE_AUTHORITY_REVOKED.read(inner),
        max_transfer_fee_bps=MAX_TRANSFER_FEE_BPS.optional(inner),
        venues=_venues(inner, venues),
    )
    for problem in inner.problems:
        fields.wrong(f"conditions.{problem.field}", problem.problem, problem.expected)
    if conditions.max_price is not None and "slippageBps" in fields.given:
        fields.wrong("slippageBps", "does not fit beside conditions.maxPrice", "maxPrice alone: no fill is worse")
    return conditions


def _venues(fields: OrderFields, known: Collection[str]) -> tuple[str, ...]:
    if Condition.VENUES not in fields.given:
        return ()
    value = fields.given[Condition.VENUES]
    names = ", ".join(sorted(known)[:SHOWN]) or "raydium"
    expected = f"a list of venues, each once, of: {names}"
    if type(value) is not list:
        fields.wrong(Condition.VENUES, fields.kind(Condition.VENUES), expected)
        return ()
    if not 1 <= len(value) <= MAX_VENUES:
        fields.wrong(Condition.VENUES, "is empty" if not value else f"has {len(value)} entries", expected)
        return ()
    for entry in value:
        if type(entry) is not str or not _VENUE.fullmatch(entry):
            fields.wrong(Condition.VENUES, "has an entry that is not the name of a venue", expected)
            return ()
        # An order for a venue that is not enabled would wait for ever.
        if known and entry not in known:
            fields.wrong(Condition.VENUES, f"names {shown(entry)}, which is not enabled", expected)
            return ()
    if len(set(value)) != len(value):
        fields.wrong(Condition.VENUES, "names a venue twice", expected)
    return tuple(value)


def _is_mint(text: str) -> bool:
    # Base58 decoding takes time quadratic in the length.
    if len(text) > MINT_LETTERS:
        return False
    try:
        return len(base58.decode(text)) == MINT_BYTES
    except ValueError:
        return False
