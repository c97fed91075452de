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
from dexexec.intake.order_fields import SHOWN, OrderFields, shown
from dexexec.intake.order_terms import read_expiry
from dexexec.intake.price_bounds import plain

SNIPER_FIELDS = ("mint", "conditions")
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
ONE_SIDE = {Side.BUY.value: Side.BUY}
ONE_MODE = {Mode.EXACT_IN.value: Mode.EXACT_IN}
MAX_AGE_MS = 86_400_000
MAX_VENUES = 32
MINT_BYTES = 32
MINT_LETTERS = 44
_VENUE = re.compile(r"[a-z0-9-]{1,40}")
_EXPECTED_MINT = "the address of a mint: 32 bytes in base58"


def refuse_sniper_fields(fields: OrderFields) -> None:
    """Records the fields of a sniper in another order."""
    for name in SNIPER_FIELDS:
        if name in fields.given:
            fields.wrong(name, "does not fit the type", 'only with "type": "sniper"')


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
        min_liquidity=inner.price(Condition.MIN_LIQUIDITY),
        max_price_impact_bps=inner.optional_integer(Condition.MAX_PRICE_IMPACT_BPS, 0, BPS),
        max_price=inner.price(Condition.MAX_PRICE),
        max_age_ms=inner.optional_integer(Condition.MAX_AGE_MS, 1, MAX_AGE_MS),
        mint_authority_revoked=inner.flag(Condition.MINT_AUTHORITY_REVOKED),
        freeze_authority_revoked=inner.flag(Condition.FREEZE_AUTHORITY_REVOKED),
        max_transfer_fee_bps=inner.optional_integer(Condition.MAX_TRANSFER_FEE_BPS, 0, BPS),
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
