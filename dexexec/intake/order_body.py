"""Parses the body of `POST /api/orders/execute` into a `NewOrder`: the first step of an order.

A body that is not JSON is refused (400, 415). For a JSON object one answer (422) names every invalid field and what is
expected. Nothing is guessed, rounded, trimmed or converted. `dexexec.domain.amount` has the rules for amounts.
"""

import copy
import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from json import JSONDecodeError
from uuid import UUID

from dexexec.clock import Clock, SystemClock
from dexexec.config.settings import Settings
from dexexec.domain.amount import JsonNumber
from dexexec.domain.bound import bound_of
from dexexec.domain.order import FOREVER_MS, NewOrder, Side
from dexexec.domain.policy import Policy
from dexexec.domain.quote import BPS, Mode
from dexexec.domain.share import share_text
from dexexec.domain.terms import OrderType, Terms
from dexexec.domain.token import USDC, WSOL, Token, from_base_units
from dexexec.errors import FieldProblem, InvalidOrderError, MalformedBodyError, UnsupportedMediaTypeError
from dexexec.intake.bracket_terms import BRACKET, GROUP_FIELD, canonical_bracket, read_group
from dexexec.intake.field_types import AmountField, Choice, Field, Flag, Integer, MintField
from dexexec.intake.json_nesting import MAX_NESTING, nests_too_deeply
from dexexec.intake.order_fields import SHOWN, JsonConstant, OrderFields, Repeating, kind_of, shown
from dexexec.intake.order_terms import TAG, TERM_FIELDS, TRIGGER_PRICE, TYPE, read_tag, read_terms, read_type
from dexexec.intake.payer_field import PAYER, read_payer
from dexexec.intake.price_bounds import BOUND_FIELDS, LIMIT_PRICE, MAX_IN, MIN_OUT, Swap, plain, read_bound
from dexexec.intake.recurring_terms import RECURRING_FIELDS, read_recurring
from dexexec.intake.share_terms import CLOSE_ACCOUNT, nominal_amount, with_share
from dexexec.intake.sniper_terms import (
    ONE_MODE,
    ONE_SIDE,
    SNIPER_FIELDS,
    canonical_conditions,
    read_mint,
    read_sniper,
    refuse_sniper_fields,
)
from dexexec.intake.wallet_choice import WALLET, WalletChoice, read_wallet

SIDE = Choice(
    name="side",
    description="`buy` spends `inputMint` for `outputMint`; `sell` is the reverse.",
    noun="side",
    choices={side.value: side for side in Side},
    expected='"buy" or "sell"',
    example="buy",
)
AMOUNT = AmountField(
    name="amount",
    description='A number of tokens as a decimal text, such as "0.01", or as a JSON number, which is read exactly; or a'
    ' share of the wallet\'s balance: "all", or a percentage such as "50%". With `exactIn` it is spent, with `exactOut`'
    " received. More decimals than the token has are refused.",
    example="0.01",
)
MODE = Choice(
    name="mode",
    description="`exactIn`, the default: `amount` is spent. `exactOut`: `amount` is received.",
    noun="mode",
    choices={mode.value: mode for mode in Mode},
    expected='"exactIn" or "exactOut"',
)
INPUT_MINT = MintField(
    name="inputMint",
    description="The mint that a `buy` spends. Without it, the service's default.",
    example=WSOL,
)
OUTPUT_MINT = MintField(
    name="outputMint",
    description="The mint that a `buy` receives. Without it, the service's default.",
    example=USDC,
)
SLIPPAGE_BPS = Integer(
    name="slippageBps",
    description="No fill is worse than the order's first quote by more than this, in bps.",
    least=0,
    most=5_000,
    example=50,
)
DEADLINE_SECONDS = Integer(
    name="deadlineSeconds",
    description="Nothing is quoted, signed or first sent later than this after the request was read; for each slice of"
    " a recurring order, after it was made.",
    least=1,
    most=86_400,
    example=60,
)
MAX_PRICE_IMPACT_BPS = Integer(
    name="maxPriceImpactBps",
    description="A venue whose price the order would move further is not used, in bps; 10000 is no limit.",
    least=0,
    most=BPS,
    example=300,
)
DRY_RUN = Flag(
    name="dryRun",
    description="The order is only simulated, and ends as `simulated`. A service that runs every order dry refuses"
    " `false`.",
)
ORDER_FIELDS: tuple[Field, ...] = (
    SIDE, AMOUNT, INPUT_MINT, OUTPUT_MINT, SLIPPAGE_BPS, MODE, DEADLINE_SECONDS, *BOUND_FIELDS, MAX_PRICE_IMPACT_BPS,
    TYPE, *TERM_FIELDS, *RECURRING_FIELDS, *SNIPER_FIELDS, CLOSE_ACCOUNT, GROUP_FIELD, TAG, DRY_RUN,
    WALLET, PAYER,
)  # fmt: skip
"""All fields of an order. `order_schema` has which of them fit a kind of order."""
FIELDS = tuple(field.name for field in ORDER_FIELDS)
ONE_WALLET = WalletChoice()


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else Repeating(pairs)


# Numbers stay text: as a float, an amount such as 0.1 would not be the one that was sent.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=JsonNumber, parse_float=JsonNumber, parse_constant=JsonConstant
)


def require_json(content_type: str | None, content_encoding: str | None) -> None:
    """Raises `UnsupportedMediaTypeError` unless the body is announced as plain JSON in UTF-8."""
    if content_encoding is not None and content_encoding.strip().lower() != "identity":
        raise UnsupportedMediaTypeError("the body must be sent without Content-Encoding")
    if content_type == "application/json":
        return
    if content_type is None:
        raise UnsupportedMediaTypeError("the Content-Type header is missing: send application/json")
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    if media_type != "application/json":
        raise UnsupportedMediaTypeError("the Content-Type is not application/json")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in {"utf-8", "utf8"}:
            raise UnsupportedMediaTypeError("JSON is UTF-8: leave the charset out, or send utf-8")


def read_object(body: bytes) -> dict[str, object]:
    """The JSON object in `body`, numbers as their literal text. Raises `MalformedBodyError`."""
    if not body:
        raise _malformed("the body is empty")
    try:
        text = body.decode()
        if nests_too_deeply(text):
            raise _malformed(f"the body is nested too deeply: more than {MAX_NESTING} levels")
        fields = _DECODER.decode(text)
    except UnicodeDecodeError as error:
        raise _malformed(f"the body is not UTF-8 at byte {error.start}") from None
    except JSONDecodeError as error:
        reason = error.msg.rstrip(": ")
        raise _malformed(f"the body is not JSON: {reason} at line {error.lineno}, column {error.colno}") from None
    if not isinstance(fields, dict):
        raise _malformed(f"the body is {kind_of(fields)}")
    constants = [name for name, value in fields.items() if type(value) is JsonConstant]
    if constants:
        problems = [
            FieldProblem(shown(name), f"is {fields[name]}, which is not JSON", "a value that JSON can hold")
            for name in constants[:SHOWN]
        ]
        raise MalformedBodyError(f"{fields[constants[0]]} is not JSON", problems)
    return fields


class BodyReader:
    """Reads orders by the tokens and defaults of `settings`. `no_balances` is the reason why no amount can be a share
    of the wallet's balance; empty if it can, or if only the worker knows. `venues` are the enabled ones; empty: they
    are not known here. `wallets` are those that orders may name."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock | None = None,
        *,
        no_balances: str = "",
        venues: Collection[str] = (),
        wallets: WalletChoice = ONE_WALLET,
    ) -> None:
        self._no_balances = no_balances
        self._venues = venues
        self.wallets = wallets
        self._clock = clock or SystemClock()
        self._tokens = {token.mint: token for token in settings.token_list()}
        self._input, self._output = (self._tokens[mint] for mint in settings.default_pair())
        self._slippage_bps = settings.slippage_bps
        self._deadline_seconds = settings.deadline_seconds
        self._max_price_impact_bps = settings.max_price_impact_bps
        self._dry_run = settings.dry_run
        known = [f"{token.mint} ({token.symbol})" for token in self._tokens.values()]
        more = f" or {len(known) - SHOWN} more" if len(known) > SHOWN else ""
        self._mints = f"one of {', '.join(known[:SHOWN])}{more}"

    def within(self, policy: Policy) -> "BodyReader":
        """A reader whose defaults are within the policy: only what a client has written itself is over a limit."""
        slippage_bps = self._slippage_bps if policy.max_slippage_bps is None else policy.max_slippage_bps
        impact_bps = self._max_price_impact_bps if policy.max_price_impact_bps is None else policy.max_price_impact_bps
        if slippage_bps >= self._slippage_bps and impact_bps >= self._max_price_impact_bps:
            return self
        reader = copy.copy(self)
        reader._slippage_bps = min(self._slippage_bps, slippage_bps)
        reader._max_price_impact_bps = min(self._max_price_impact_bps, impact_bps)
        return reader

    def defaults(self) -> dict[str, object]:
        """The values of fields that an order leaves out."""
        return {
            INPUT_MINT.name: self._input.mint,
            OUTPUT_MINT.name: self._output.mint,
            SLIPPAGE_BPS.name: self._slippage_bps,
            DEADLINE_SECONDS.name: self._deadline_seconds,
            MAX_PRICE_IMPACT_BPS.name: self._max_price_impact_bps,
            DRY_RUN.name: self._dry_run,
        }

    def read(
        self,
        body: bytes,
        order_id: UUID,
        client: str,
        idempotency_key: str | None,
        request_id: str | None = None,
        *,
        key: str = "",
        key_wallets: Collection[str] | None = None,
    ) -> NewOrder:
        """The order in `body`, posted with the API key named `key`, whose policy allows `key_wallets` (None: all).
        Raises `MalformedBodyError`, or `InvalidOrderError` with every bad field."""
        allowed = self.wallets.of(key, key_wallets)
        given = read_object(body)
        return self.read_fields(
            given, order_id, client, idempotency_key, request_id, wallets=allowed, payers=key_wallets
        )

    def read_fields(
        self,
        given: Mapping[str, object],
        order_id: UUID,
        client: str = "",
        idempotency_key: str | None = None,
        request_id: str | None = None,
        *,
        wallets: Collection[str] | None = None,
        payers: Collection[str] | None = None,
    ) -> NewOrder:
        """The order with these fields, as `read_object` returns them. Only `wallets` may pay for it (None: any, of an
        order that was accepted before), or as a client's own wallet `payers` (None: any). Raises
        `InvalidOrderError`."""
        fields = OrderFields(given, FIELDS)
        order_type = read_type(fields)
        is_sniper = order_type is OrderType.SNIPER
        side, mode = _side_and_mode(fields, is_sniper=is_sniper)
        first, second = self._pair(fields, is_sniper=is_sniper)
        slippage_bps = SLIPPAGE_BPS.read(fields, self._slippage_bps)
        deadline_seconds = DEADLINE_SECONDS.read(fields, self._deadline_seconds)
        # A buy with exactIn fixes the amount of the input mint. The other side or the other mode fixes that of the
        # output mint, and both together that of the input mint again.
        counted = None
        if side and mode:
            counted = first if (side is Side.BUY) == (mode is Mode.EXACT_IN) else second
        max_impact = MAX_PRICE_IMPACT_BPS.read(fields, self._max_price_impact_bps)
        amount = AMOUNT.read(fields, counted)
        # Missing while any part of it is invalid: then the answer names the other errors without it.
        swap = None
        if mode and amount and counted and first and second:
            units = amount.base_units if amount.share_bps is None else nominal_amount(counted)
            swap = Swap(mode=mode, amount=units, counted=counted, input=first, output=second)
        bound = read_bound(fields, swap)
        now_ms = self._clock.unix_ms()
        terms = read_sniper(fields, self._venues, now_ms) if is_sniper else read_terms(fields, order_type, side, now_ms)
        terms = with_share(
            terms,
            fields,
            amount,
            mode=mode,
            order_type=order_type,
            spent=counted if mode is Mode.EXACT_IN else None,
            no_balances=self._no_balances,
        )
        recurring = read_recurring(
            fields,
            order_type,
            side=side,
            swap=swap,
            deadline_seconds=deadline_seconds,
            expires_at=terms.expires_at if terms else None,
            now_ms=now_ms,
        )
        oco_group = read_group(fields, order_type)
        tag = read_tag(fields)
        dry_run = self._read_dry_run(fields)
        payer = read_payer(fields, order_type=order_type, terms=terms, no_balances=self._no_balances, allowed=payers)
        wallet = payer or (WALLET.read(fields) if wallets is None else read_wallet(fields, wallets))
        if fields.problems or not (side and swap and first and second and amount and order_type):
            raise InvalidOrderError([*fields.problems, *fields.passed])
        # With a key, the request may repeat one that was accepted in time: only the record can tell.
        if fields.passed and idempotency_key is None:
            raise InvalidOrderError(fields.passed)
        share_bps = amount.share_bps
        fixed_amount = from_base_units(swap.amount, swap.counted.decimals)
        canonical = {"amount": fixed_amount if share_bps is None else share_text(share_bps)}
        if terms is not None and terms.conditions is not None:
            max_impact = terms.conditions.impact_bps(max_impact)
            canonical["conditions"] = canonical_conditions(terms.conditions)
        canonical |= {name: bound.text for name in (MIN_OUT, MAX_IN, LIMIT_PRICE) if bound and name in fields.given}
        worst_other = bound.base_units if bound else None
        if recurring is not None:
            canonical |= {name: text for name, text in recurring.canonical.items() if name in fields.given}
            terms = replace(terms or Terms(), recurring=recurring.schedule)
            worst_other = recurring.worst_other
        if terms is not None and terms.trigger_price is not None:
            canonical[TRIGGER_PRICE.name] = plain(terms.trigger_price)
        if terms is not None and terms.bracket is not None:
            canonical[BRACKET] = canonical_bracket(terms.bracket)
        return NewOrder(
            id=order_id,
            side=side,
            amount=amount.value,
            amount_base=swap.amount,
            mode=swap.mode,
            input_mint=first.mint,
            output_mint=second.mint,
            slippage_bps=slippage_bps,
            deadline_ms=_deadline_ms(terms, deadline_seconds, now_ms),
            client=client,
            idempotency_key=idempotency_key,
            body_hash=fields.hash(canonical) if idempotency_key else b"",
            # The bound of a share is computed from its limit price once there is an amount.
            bound=None
            if worst_other is None or share_bps is not None
            else bound_of(swap.mode, swap.amount, worst_other),
            max_price_impact_bps=max_impact,
            # A slippage that is given beside a bound may still tighten it; the default one may not.
            bound_open=worst_other is None or "slippageBps" in fields.given,
            request_id=request_id,
            passed=tuple(problem.field for problem in fields.passed),
            type=order_type,
            terms=terms,
            tag=tag,
            dry_run=dry_run,
            oco_group=oco_group,
            wallet=wallet,
        )

    def _pair(self, fields: OrderFields, *, is_sniper: bool) -> tuple[Token | None, Token | None]:
        """The input and the output token. Only a sniper may name a mint that is not configured."""
        first = INPUT_MINT.read(fields, self._tokens, self._mints, self._input)
        if is_sniper:
            return first, read_mint(fields, first)
        second = OUTPUT_MINT.read(fields, self._tokens, self._mints, self._output)
        if first is not None and first == second:
            fields.same_mint()
            return None, None
        return first, second

    def _read_wallet(
        self,
        fields: OrderFields,
        order_type: OrderType | None,
        terms: Terms | None,
        wallets: Collection[str] | None,
        payers: Collection[str] | None,
    ) -> str | None:
        """Who pays: a wallet of the service, or one of the client's own."""
        if PAYER.name in fields.given:
            return read_payer(fields, order_type=order_type, terms=terms, no_balances=self._no_balances, allowed=payers)
        return WALLET.read(fields) if wallets is None else read_wallet(fields, wallets)

    def _read_dry_run(self, fields: OrderFields) -> bool:
        dry_run = DRY_RUN.read(fields)
        # A client that names it expects a swap, which this service will not make.
        if self._dry_run and fields.given.get(DRY_RUN.name) is False:
            fields.wrong(DRY_RUN.name, "is false, and this service runs every order dry", "true, or no dryRun")
        return dry_run or self._dry_run


def _side_and_mode(fields: OrderFields, *, is_sniper: bool) -> tuple[Side | None, Mode | None]:
    """Which way the order swaps, and which amount it fixes. A sniper always spends a fixed amount of `inputMint`."""
    if is_sniper:
        return ONE_SIDE.read(fields, Side.BUY), ONE_MODE.read(fields, Mode.EXACT_IN)
    side = SIDE.read(fields)
    mode = MODE.read(fields, Mode.EXACT_IN)
    refuse_sniper_fields(fields)
    return side, mode


def _deadline_ms(terms: Terms | None, deadline_seconds: int, now_ms: int) -> int:
    """The time until the order expires (milliseconds): `expiresAt`, or for an order that does not rest its deadline."""
    if terms is not None and terms.expires_at is not None:
        return max(1, round(terms.expires_at.timestamp() * 1000) - now_ms)
    return FOREVER_MS if terms is not None and terms.rests else deadline_seconds * 1000


def _malformed(reason: str) -> MalformedBodyError:
    expected = 'a JSON object such as {"side": "buy", "amount": "0.01"}'
    return MalformedBodyError(reason, [FieldProblem("", reason, expected)])
