"""Parses the body of `POST /api/orders/execute` into a `NewOrder`: the first step of an order.

A body that is not JSON is refused (400, 415). For a JSON object one answer (422) names every invalid field and what is
expected. Nothing is guessed, rounded, trimmed or converted. `dexexec.domain.amount` has the rules for amounts.
"""

import difflib
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from json import JSONDecodeError
from typing import NamedTuple, TypeVar
from uuid import UUID

from dexexec.config.settings import Settings
from dexexec.domain.amount import AmountError, JsonNumber, expected_amount, read_amount
from dexexec.domain.bound import bound_of
from dexexec.domain.order import NewOrder, Side
from dexexec.domain.quote import BPS, Mode
from dexexec.domain.token import Token, from_base_units
from dexexec.errors import FieldProblem, InvalidOrderError, MalformedBodyError, UnsupportedMediaTypeError
from dexexec.intake.price_bounds import LIMIT_PRICE, MAX_IN, MIN_OUT, Swap, read_bound

T = TypeVar("T")

FIELDS = (
    "side", "amount", "inputMint", "outputMint", "slippageBps", "mode", "deadlineSeconds",
    "minOut", "maxIn", "limitPrice", "maxPriceImpactBps",
)  # fmt: skip
MAX_SLIPPAGE_BPS = 5_000
MAX_DEADLINE_SECONDS = 86_400
SHOWN = 20
"""How many unknown fields, or known mints, are named at most."""

_KNOWN = frozenset(FIELDS)
_INTEGER = re.compile(r"-?[0-9]{1,9}")
_SIDES = {side.value: side for side in Side}
_MODES = {mode.value: mode for mode in Mode}


class _JsonConstant(str):
    """NaN, Infinity or -Infinity: Python's JSON reader takes them, JSON does not."""

    __slots__ = ()


class _Repeating(dict[str, object]):
    """An object with a repeated name."""

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        super().__init__(pairs)
        counts = Counter(name for name, _ in pairs)
        self.repeated = [name for name, count in counts.items() if count > 1]


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else _Repeating(pairs)


# Numbers stay text: as a float, an amount such as 0.1 would not be the one that was sent.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=JsonNumber, parse_float=JsonNumber, parse_constant=_JsonConstant
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
        fields = _DECODER.decode(body.decode())
    except UnicodeDecodeError as error:
        raise _malformed(f"the body is not UTF-8 at byte {error.start}") from None
    except JSONDecodeError as error:
        reason = error.msg.rstrip(": ")
        raise _malformed(f"the body is not JSON: {reason} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise _malformed("the body is nested too deeply") from None
    if not isinstance(fields, dict):
        raise _malformed(f"the body is {_kind(fields)}")
    constants = [name for name, value in fields.items() if type(value) is _JsonConstant]
    if constants:
        problems = [
            FieldProblem(_shown(name), f"is {fields[name]}, which is not JSON", "a value that JSON can hold")
            for name in constants[:SHOWN]
        ]
        raise MalformedBodyError(f"{fields[constants[0]]} is not JSON", problems)
    return fields


class Amount(NamedTuple):
    """The amount as it was sent, and the same in base units of its token."""

    value: Decimal
    base_units: int


class BodyReader:
    """Reads orders by the tokens and defaults of `settings`."""

    def __init__(self, settings: Settings) -> None:
        self._tokens = {token.mint: token for token in settings.token_list()}
        self._input, self._output = (self._tokens[mint] for mint in settings.default_pair())
        self._slippage_bps = settings.slippage_bps
        self._deadline_seconds = settings.deadline_seconds
        self._max_price_impact_bps = settings.max_price_impact_bps
        known = [f"{token.mint} ({token.symbol})" for token in self._tokens.values()]
        more = f" or {len(known) - SHOWN} more" if len(known) > SHOWN else ""
        self._mints = f"one of {', '.join(known[:SHOWN])}{more}"

    def read(
        self, body: bytes, order_id: UUID, client: str, idempotency_key: str | None, request_id: str | None = None
    ) -> NewOrder:
        """The order in `body`. Raises `MalformedBodyError`, or `InvalidOrderError` with every bad field."""
        fields = _Fields(read_object(body))
        side = fields.choice("side", "side", _SIDES, '"buy" or "sell"')
        mode = fields.choice("mode", "mode", _MODES, '"exactIn" or "exactOut"', Mode.EXACT_IN)
        first = fields.choice("inputMint", "mint", self._tokens, self._mints, self._input)
        second = fields.choice("outputMint", "mint", self._tokens, self._mints, self._output)
        if first is not None and first == second:
            fields.same_mint()
            first = second = None
        slippage_bps = fields.integer("slippageBps", 0, MAX_SLIPPAGE_BPS, self._slippage_bps)
        deadline_seconds = fields.integer("deadlineSeconds", 1, MAX_DEADLINE_SECONDS, self._deadline_seconds)
        # A buy with exactIn fixes the amount of the input mint. The other side or the other mode fixes that of the
        # output mint, and both together that of the input mint again.
        counted = None
        if side and mode:
            counted = first if (side is Side.BUY) == (mode is Mode.EXACT_IN) else second
        max_impact = fields.integer("maxPriceImpactBps", 0, BPS, self._max_price_impact_bps)
        amount = fields.amount(counted)
        # Missing while any part of it is invalid: then the answer names the other errors without it.
        swap = None
        if mode and amount and counted and first and second:
            swap = Swap(mode=mode, amount=amount.base_units, counted=counted, input=first, output=second)
        bound = read_bound(fields, swap)
        if fields.problems or not (side and swap and first and second and amount):
            raise InvalidOrderError(fields.problems)
        canonical = {"amount": from_base_units(swap.amount, swap.counted.decimals)}
        canonical |= {name: bound.text for name in (MIN_OUT, MAX_IN, LIMIT_PRICE) if bound and name in fields.given}
        return NewOrder(
            id=order_id,
            side=side,
            amount=amount.value,
            amount_base=amount.base_units,
            mode=swap.mode,
            input_mint=first.mint,
            output_mint=second.mint,
            slippage_bps=slippage_bps,
            deadline_ms=deadline_seconds * 1000,
            client=client,
            idempotency_key=idempotency_key,
            body_hash=fields.hash(canonical) if idempotency_key else b"",
            bound=bound_of(swap.mode, swap.amount, bound.base_units) if bound else None,
            max_price_impact_bps=max_impact,
            # A slippage that is given beside a bound may still tighten it; the default one may not.
            bound_open=bound is None or "slippageBps" in fields.given,
            request_id=request_id,
        )


class _Fields:
    """The fields of one body, and the errors found in them."""

    def __init__(self, given: Mapping[str, object]) -> None:
        self.given = given
        self.problems: list[FieldProblem] = []
        if isinstance(given, _Repeating) or not given.keys() <= _KNOWN:
            self.problems += islice(_strays(given), SHOWN)

    def choice(
        self, name: str, noun: str, choices: Mapping[str, T], expected: str, default: T | None = None
    ) -> T | None:
        """The value of `choices` for the field. Without a default the field is required."""
        if default is not None and name not in self.given:
            return default
        value = self.given.get(name)
        # Not `isinstance`: numbers and constants are subclasses of str here.
        choice = choices.get(value) if type(value) is str else None
        if choice is None:
            self.wrong(name, f"is not a known {noun}" if type(value) is str else self.kind(name), expected)
        return choice

    def integer(self, name: str, least: int, most: int, default: int) -> int:
        """The integer in the field; the default if it is missing or invalid."""
        if name not in self.given:
            return default
        value = self.given[name]
        if isinstance(value, JsonNumber) and _INTEGER.fullmatch(value) and least <= int(value) <= most:
            return int(value)
        problem = self.kind(name)
        if isinstance(value, JsonNumber):
            problem = "is out of range" if value.lstrip("-").isdecimal() else "is not an integer"
        self.wrong(name, problem, f"an integer from {least} to {most}")
        return default

    def amount(self, token: Token | None) -> Amount | None:
        """The amount and its base units; its token may be unknown because of another invalid field."""
        value = self.given.get("amount")
        try:
            if isinstance(value, str):
                return Amount(*read_amount(value, token))
            raise AmountError(self.kind("amount"), expected_amount(token))
        except AmountError as error:
            self.wrong("amount", error.problem, error.expected)
            return None

    def same_mint(self) -> None:
        """Input and output are the same mint: reported for the given field, since the other may be a default."""
        name, other = ("outputMint", "inputMint") if "outputMint" in self.given else ("inputMint", "outputMint")
        self.wrong(name, f"is the same as {other}", "two different mints")

    def hash(self, canonical: Mapping[str, str]) -> bytes:
        """SHA-256 over the fields that were given, all of them checked, amounts in their one canonical form."""
        # By value: neither white space, the order of fields, the notation of an amount nor a changed default of this
        # service makes a repeated request look like another one.
        given = sorted(f"{name}={canonical.get(name, value)}" for name, value in self.given.items())
        return hashlib.sha256("\n".join(given).encode()).digest()

    def wrong(self, name: str, problem: str, expected: str) -> None:
        """Record an invalid field, and what is expected."""
        self.problems.append(FieldProblem(name, problem, expected))

    def kind(self, name: str) -> str:
        """The error for a JSON value of another kind."""
        return f"is {_kind(self.given[name])}" if name in self.given else "is missing"


def _strays(given: Mapping[str, object]) -> Iterator[FieldProblem]:
    for name in given.repeated if isinstance(given, _Repeating) else ():
        yield FieldProblem(_shown(name), "is given more than once", "each field once")
    for name in given:
        if name not in _KNOWN:
            yield unknown_name(name, FIELDS, "is not a field of an order")


def unknown_name(name: str, known: Sequence[str], problem: str) -> FieldProblem:
    """The problem of a field or parameter that does not exist: it names the nearest of `known`, or all of them."""
    by_lower_case = {one.lower(): one for one in known}
    near = difflib.get_close_matches(name[:40].lower(), by_lower_case, n=1)
    expected = f"did you mean {by_lower_case[near[0]]}?" if near else f"only {', '.join(known)}"
    return FieldProblem(_shown(name), problem, expected if known else "no parameters")


def _malformed(reason: str) -> MalformedBodyError:
    expected = 'a JSON object such as {"side": "buy", "amount": "0.01"}'
    return MalformedBodyError(reason, [FieldProblem("", reason, expected)])


def _kind(value: object) -> str:
    if value is None:
        return "null"
    kinds = {bool: "a boolean", str: "a string", list: "an array", JsonNumber: "a number", _JsonConstant: "not JSON"}
    return kinds.get(type(value), "an object")


def _shown(name: str) -> str:
    """A client's field name, cleaned for answers and log lines."""
    # `ascii` escapes control characters, and puts quotes around the text.
    return ascii(name[:40])[1:-1]
