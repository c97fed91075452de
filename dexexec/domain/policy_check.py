"""Whether an order, or an attempt of it, is within the policy of its API key. Pure.

The same checks run when an order is accepted and when an attempt is recorded: between the two a policy may change, and
some amounts are only known then.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from dexexec.domain.event import Detail
from dexexec.domain.handout import Handout
from dexexec.domain.order import NewOrder, Order, Side
from dexexec.domain.policy import Policy
from dexexec.domain.quote import BPS, Mode, Quote
from dexexec.domain.terms import OrderType

PPM_PER_BPS = 100
DEFAULT_WALLET = "default"
"""The name of the wallet of an order that names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A limit that an order breaks: `policy` names it, `field` is the field of the order that is over it. `daily`: the
    next day has a new limit, so waiting may help. The policy is that `of` a key or a wallet."""

    field: str
    policy: str
    limit: str
    given: str
    daily: bool = False
    of: str = "key"

    @property
    def detail(self) -> str:
        """The sentence for clients."""
        return f"over the {self.of}'s policy: {self.policy} is {self.limit}, given {self.given}"


@dataclass(frozen=True, slots=True)
class PolicyBreaches:
    """All limits that an order breaks: at least one."""

    breaches: tuple[Breach, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """An order or an attempt, as far as policies limit it.

    `most_in` is the most that it may spend (base units of `mint_in`), None while that is not known. `kinds` are the
    types of orders that it is or may lead to, none for an order that the service made for another one. Without a
    `wallet` it is not checked. `venues` are those that it is limited to, or the one that it uses; empty: any. Of a swap
    over several pools, `parts` are the venues of all of them, and `via` the tokens that it passes through.
    `impact_ppm` is the price impact that it allows or has, None if it is not known.
    """

    mint_in: str
    mint_out: str
    most_in: int | None
    field_in: str = "inputMint"
    field_out: str = "outputMint"
    kinds: tuple[tuple[str, OrderType], ...] = ()
    venues: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    via: tuple[str, ...] = ()
    slippage_bps: int
    impact_ppm: int | None
    wallet: str = ""


def posted_trade(order: NewOrder) -> Trade:
    """What a new or changed order may do."""
    swap = order.swap
    sniper = order.type is OrderType.SNIPER
    bought = "mint" if sniper else "outputMint"
    sells = order.side is Side.SELL
    conditions = order.terms.conditions if order.terms else None
    impact = order.max_price_impact_bps
    return Trade(
        mint_in=swap.mint_in,
        mint_out=swap.mint_out,
        most_in=most_spent(order),
        field_in=bought if sells else "inputMint",
        field_out="inputMint" if sells else bought,
        kinds=tuple(_kinds(order)),
        venues=conditions.venues if conditions else (),
        slippage_bps=order.slippage_bps,
        impact_ppm=None if impact is None else impact * PPM_PER_BPS,
        wallet=order.wallet or DEFAULT_WALLET,
    )


def attempted_trade(order: Order, quote: Quote) -> Trade:
    """What an attempt of an order does, which is built from `quote`. Its limits are within the order's bound."""
    # An order that the service made for another one is of the kind that the other one needs, and was accepted with it.
    kinds = () if order.parent is not None else (("type", order.type),)
    return Trade(
        mint_in=quote.request.mint_in,
        mint_out=quote.request.mint_out,
        most_in=quote.max_in,
        kinds=kinds,
        venues=(quote.venue,),
        parts=tuple(dict.fromkeys(leg.venue for leg in quote.legs)),
        via=tuple(sorted(quote.via)),
        slippage_bps=order.slippage_bps,
        impact_ppm=quote.price_impact_ppm,
        wallet=order.wallet or DEFAULT_WALLET,
    )


def handed_out_trade(order: Order, handout: Handout) -> Trade:
    """What an attempt does that a client has signed."""
    swap = order.swap
    legs = cast("list[Detail]", handout.quoted.get("legs", []))
    mints = {str(leg[end]) for leg in legs for end in ("mintIn", "mintOut")}
    return Trade(
        mint_in=swap.mint_in,
        mint_out=swap.mint_out,
        parts=tuple(dict.fromkeys(str(leg["venue"]) for leg in legs)),
        via=tuple(sorted(mints - {swap.mint_in, swap.mint_out})),
        most_in=handout.most_in,
        kinds=(("type", order.type),),
        venues=(handout.venue,),
        slippage_bps=order.slippage_bps,
        impact_ppm=handout.impact_ppm,
        wallet=order.wallet or DEFAULT_WALLET,
    )


def most_spent(order: NewOrder) -> int | None:
    """The most that an order may spend in all, in base units of the token that it spends; None if a quote or the
    wallet's balance decides that."""
    if order.terms is not None and order.terms.share_bps is not None:
        return None
    # Of a recurring order this is the total, which its slices spend.
    if order.mode is Mode.EXACT_IN:
        return order.amount_base
    return order.bound.max_in if order.bound else None


def breaches(policy: Policy, trade: Trade) -> list[Breach]:
    """The limits that `trade` breaks by itself. Those that count several orders are checked where these are counted."""
    return [
        *_kind_breaches(policy, trade),
        *_mint_breaches(policy, trade),
        *_amount_breaches(policy, trade),
        *_price_breaches(policy, trade),
        *_place_breaches(policy, trade),
    ]


def day_breach(policy: Policy, mint: str, spent: int, amount: int) -> Breach | None:
    """The breach of an order that may spend `amount` on a day on which the key's other orders spend up to `spent`."""
    limit = policy.max_per_day.get(mint)
    if limit is None or spent + amount <= limit:
        return None
    given = f"{amount} beside {spent} of other orders today"
    return Breach(field="amount", policy="maxPerDay", limit=_units(limit, mint), given=given, daily=True)


def open_orders_breach(policy: Policy, open_orders: int) -> Breach | None:
    """The breach of one more order beside `open_orders` of the key that have not ended."""
    if policy.open_orders is None or open_orders < policy.open_orders:
        return None
    given = f"{open_orders} open orders already"
    return Breach(field="", policy="openOrders", limit=str(policy.open_orders), given=given)


def unreadable_breach() -> Breach:
    """The breach of every order of a key whose policy cannot be read: its limits are unknown."""
    return Breach(field="", policy="policy", limit="no order", given="one: the policy cannot be read by this version")


def _kinds(order: NewOrder) -> Iterator[tuple[str, OrderType]]:
    """The types of an order and of its bracket's exits, each with the field that makes it so."""
    yield "type", order.type
    bracket = order.terms.bracket if order.terms else None
    if bracket is None:
        return
    if bracket.take_profit is not None:
        yield "bracket.takeProfit", OrderType.LIMIT
    if bracket.stop is not None:
        yield "bracket.stop", OrderType.MARKET if bracket.stop.limit_price is None else OrderType.LIMIT


def _kind_breaches(policy: Policy, trade: Trade) -> Iterator[Breach]:
    if policy.kinds is None:
        return
    for field, kind in trade.kinds:
        if kind not in policy.kinds:
            yield Breach(field=field, policy="kinds", limit=_names(policy.kinds), given=kind.value)


def _mint_breaches(policy: Policy, trade: Trade) -> Iterator[Breach]:
    if policy.mints is None:
        return
    passed = ((trade.field_out, mint) for mint in trade.via)
    for field, mint in ((trade.field_in, trade.mint_in), (trade.field_out, trade.mint_out), *passed):
        if mint not in policy.mints:
            yield Breach(field=field, policy="mints", limit=_names(policy.mints), given=mint)


def _amount_breaches(policy: Policy, trade: Trade) -> Iterator[Breach]:
    # Checked when the attempt is recorded: then its quote has fixed the amount.
    if trade.most_in is None:
        return
    limit = policy.max_per_order.get(trade.mint_in)
    if limit is not None and trade.most_in > limit:
        yield Breach(field="amount", policy="maxPerOrder", limit=_units(limit, trade.mint_in), given=str(trade.most_in))
    # More than a whole day's limit never fits, whatever other orders spend.
    if (breach := day_breach(policy, trade.mint_in, 0, trade.most_in)) is not None:
        yield Breach(field=breach.field, policy=breach.policy, limit=breach.limit, given=str(trade.most_in))


def _price_breaches(policy: Policy, trade: Trade) -> Iterator[Breach]:
    if policy.max_slippage_bps is not None and trade.slippage_bps > policy.max_slippage_bps:
        yield Breach(
            field="slippageBps",
            policy="maxSlippageBps",
            limit=str(policy.max_slippage_bps),
            given=str(trade.slippage_bps),
        )
    limit = policy.max_price_impact_bps
    # 100 % and no limit of its own are the same: the order may move a price as far as it likes.
    allowed = BPS * PPM_PER_BPS if trade.impact_ppm is None else trade.impact_ppm
    if limit is not None and allowed > limit * PPM_PER_BPS:
        yield Breach(
            field="maxPriceImpactBps",
            policy="maxPriceImpactBps",
            limit=str(limit),
            given=f"{-(-allowed // PPM_PER_BPS)}",
        )


def _place_breaches(policy: Policy, trade: Trade) -> Iterator[Breach]:
    if policy.venues is not None and trade.venues and not policy.venues.intersection(trade.venues):
        yield Breach(
            field="conditions.venues", policy="venues", limit=_names(policy.venues), given=", ".join(trade.venues)
        )
    if policy.venues is not None and (others := [part for part in trade.parts if part not in policy.venues]):
        yield Breach(field="conditions.venues", policy="venues", limit=_names(policy.venues), given=", ".join(others))
    if policy.wallets is not None and trade.wallet and trade.wallet not in policy.wallets:
        yield Breach(field="wallet", policy="wallets", limit=_names(policy.wallets), given=trade.wallet)


def _units(limit: int, mint: str) -> str:
    return f"{limit} base units of {mint}"


def _names(names: frozenset[str] | frozenset[OrderType]) -> str:
    return ", ".join(sorted(names)) or "none"
