"""Reads the answers of Jupiter's swap API as values. An answer may be wrong or malicious: every field is checked."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from dexexec.domain.quote import SwapRequest
from dexexec.domain.solana import AccountMeta, Instruction
from dexexec.venue import BadAnswer, Unsupported
from dexexec_adapters.curves.integers import U64_MAX
from dexexec_adapters.solana.addresses import address_bytes

MOST_HOPS = 32
MOST_ACCOUNTS = 128
MOST_DATA = 1_232
MOST_STEPS = 16
MOST_TABLES = 16
MOST_IMPACT_PPM = 10**9
_PPM = 10**6


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteQuote:
    """What the API promises: base units out, as of `slot`. `fee` is what the pools take of `fee_mint`, as far as they
    show it. `pools` are the markets of the route in their order; `hops` are the mints on the way. `answer` is the whole
    answer, which the API wants back to build the swap."""

    amount_out: int
    slot: int
    fee: int
    fee_mint: str
    impact_ppm: int
    pools: tuple[str, ...]
    hops: frozenset[str]
    answer: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteInstructions:
    """The instructions that the API wants, by their purpose, and the lookup tables that have their accounts."""

    setup: tuple[Instruction, ...]
    swap: Instruction
    tables: tuple[str, ...]


def read_quote(answer: Mapping[str, Any], request: SwapRequest) -> RouteQuote:
    """Reads the answer to `request`. Raises `BadAnswer` for one that is invalid, or for another swap."""
    expected = {
        "inputMint": request.mint_in,
        "outputMint": request.mint_out,
        "inAmount": str(request.amount),
        "swapMode": "ExactIn",
        "slippageBps": request.slippage_bps,
    }
    for name, value in expected.items():
        # By type too: True equals 1.
        if type(answer.get(name)) is not type(value) or answer[name] != value:
            raise BadAnswer(f"Jupiter's quote has another {name} than the request")
    fee = answer.get("platformFee")
    if fee is not None and (not isinstance(fee, dict) or fee.get("feeBps") not in (0, None)):
        raise BadAnswer("Jupiter's quote has a platform fee, which was not requested")
    slot = answer.get("contextSlot")
    if type(slot) is not int or not 0 < slot <= U64_MAX:
        raise BadAnswer("Jupiter's quote has no slot")
    plan = _list(answer, "routePlan", MOST_HOPS)
    infos = [info for step in plan if isinstance(step, dict) and isinstance(info := step.get("swapInfo"), dict)]
    if not infos or len(infos) < len(plan):
        raise BadAnswer("Jupiter's quote has no route")
    fees = dict.fromkeys((request.mint_out, request.mint_in), 0)
    hops: set[str] = set()
    for info in infos:
        hops |= {_address(info, "inputMint"), _address(info, "outputMint")}
        # Not every market shows its fee.
        if info.get("feeMint") in fees and "feeAmount" in info:
            fees[info["feeMint"]] += _amount(info, "feeAmount")
    fee_mint = request.mint_out if fees[request.mint_out] else request.mint_in
    return RouteQuote(
        amount_out=_amount(answer, "outAmount"),
        slot=slot,
        fee=min(fees[fee_mint], U64_MAX),
        fee_mint=fee_mint,
        impact_ppm=_impact(answer.get("priceImpactPct")),
        pools=tuple(_address(info, "ammKey") for info in infos),
        hops=frozenset(hops - {request.mint_in, request.mint_out}),
        answer=answer,
    )


def read_instructions(answer: Mapping[str, Any]) -> RouteInstructions:
    """Reads the instructions of a route. Raises `BadAnswer` for invalid ones, and `Unsupported` for steps beside setup
    and swap: nothing else is signed for."""
    for name in ("tokenLedgerInstruction", "cleanupInstruction", "tipInstruction"):
        if answer.get(name) is not None:
            raise Unsupported(f"Jupiter's route has a {name}, which is not supported")
    if answer.get("otherInstructions"):
        raise Unsupported("Jupiter's route has other instructions, which are not supported")
    # The engine has a compute budget of its own, so the API's is left out.
    tables = _list(answer, "addressLookupTableAddresses", MOST_TABLES)
    return RouteInstructions(
        setup=tuple(_instruction(step) for step in _list(answer, "setupInstructions", MOST_STEPS)),
        swap=_instruction(answer.get("swapInstruction")),
        tables=tuple(_address({"table": table}, "table") for table in tables),
    )


def _instruction(step: object) -> Instruction:
    if not isinstance(step, dict):
        raise BadAnswer("Jupiter's answer lacks an instruction")
    metas = tuple(_meta(meta) for meta in _list(step, "accounts", MOST_ACCOUNTS))
    data = step.get("data")
    if not isinstance(data, str) or len(data) > 2 * MOST_DATA:
        raise BadAnswer("Jupiter's answer has an instruction without data, or with too much of it")
    try:
        return Instruction(_address(step, "programId"), metas, base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        raise BadAnswer("Jupiter's answer has an instruction whose data is not base64") from None


def _meta(meta: object) -> AccountMeta:
    if not isinstance(meta, dict) or not isinstance(meta.get("isSigner"), bool):
        raise BadAnswer("Jupiter's answer has an instruction with an invalid account")
    if not isinstance(meta.get("isWritable"), bool):
        raise BadAnswer("Jupiter's answer has an instruction with an invalid account")
    return AccountMeta(_address(meta, "pubkey"), meta["isSigner"], meta["isWritable"])


def _list(found: Mapping[str, Any], name: str, most: int) -> list[Any]:
    values = found.get(name)
    if not isinstance(values, list) or len(values) > most:
        raise BadAnswer(f"Jupiter's answer has no list of at most {most} {name}")
    return values


def _address(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    try:
        if isinstance(value, str) and address_bytes(value):
            return value
    except ValueError:
        pass
    raise BadAnswer(f"Jupiter's answer has a {name} that is no address")


def _amount(found: Mapping[str, Any], name: str) -> int:
    """Base units, which the API writes as text."""
    value = found.get(name)
    if not isinstance(value, str) or not value.isascii() or not value.isdigit() or len(value) > 20:
        raise BadAnswer(f"Jupiter's answer has no amount {name}")
    amount = int(value)
    if amount > U64_MAX:
        raise BadAnswer(f"Jupiter's answer has a {name} of over 64 bits")
    return amount


def _impact(value: object) -> int:
    """The price impact in millionths. The API writes a fraction as text; nothing depends on it but a limit."""
    if value is None:
        return 0
    try:
        fraction = Decimal(value) if isinstance(value, str) and len(value) <= 64 else None
    except InvalidOperation:
        fraction = None
    if fraction is None or fraction.is_nan():
        raise BadAnswer("Jupiter's quote has a price impact that is no number")
    # Compared first: an exponent may be far too large to compute with.
    if fraction.is_signed() or fraction < Decimal(1) / _PPM:
        return 0
    return MOST_IMPACT_PPM if fraction >= MOST_IMPACT_PPM // _PPM else int(fraction * _PPM)
