"""The market that the mock venues trade in: a price path that is the same in every process, at every time.

Prices wander around a reference as a pure function of (seed, token, time), so that a restart or a second worker agrees
about them without sharing anything. Each venue stands a little off the common price, and by how much changes: which
venue is better depends on size and time. Where an order's way passes here: the mocks' `quote`.
"""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from dexexec.domain.quote import SwapRequest
from dexexec.domain.token import USDC, WSOL, Token, Tokens
from dexexec.venue import Unsupported

PPM = 1_000_000
STEP_MS = 1_000
"""Prices change this often."""
_U64_ROOM = 2**62
_WAVES = ((3_600, 60), (300, 30), (20, 10))
"""The waves of a price path: steps from one turning point to the next, and share of the whole amplitude in percent."""
_OFFSET_WAVES = ((30, 100),)


@dataclass(frozen=True, slots=True)
class Pair:
    """A pool's two tokens; prices are `quote` per `base`. The quote is USDC if it is there, else SOL, else the larger
    mint."""

    base: Token
    quote: Token


@dataclass(frozen=True, slots=True)
class Price:
    """Base units of the quote token per base unit of the base token, as a fraction of two positive integers."""

    numerator: int
    denominator: int


class Market:
    """Reference prices for one venue. `drift_ppm` is how far a token may wander from its reference value at most,
    `offset_ppm` how far this venue may stand off the common price."""

    def __init__(self, seed: int, venue: str, tokens: Tokens, drift_ppm: int, offset_ppm: int) -> None:
        self._seed = seed
        self._venue = venue
        self._tokens = tokens
        self._drift_ppm = drift_ppm
        self._offset_ppm = offset_ppm
        self._pairs: dict[tuple[str, str], Pair] = {}

    def pair(self, request: SwapRequest) -> Pair:
        """The pool's tokens for `request`; raises `Unsupported` for an unknown token, or one token twice."""
        mints = (request.mint_in, request.mint_out)
        found = self._pairs.get(mints)
        if found is None:
            if request.mint_in == request.mint_out:
                raise Unsupported("mint_in and mint_out are the same token")
            base, quote = sorted(map(self._token, mints), key=_quote_rank)
            found = self._pairs[mints] = Pair(base, quote)
        return found

    def price(self, pair: Pair, step: int) -> Price:
        """The price at `step` (Unix time / `STEP_MS`) on this venue."""
        offset = wander(f"{self._seed}:{self._venue}:{pair.base.mint}:{pair.quote.mint}", step, _OFFSET_WAVES)
        base = self._value(pair.base, step) * 10**pair.quote.decimals * (PPM + offset * self._offset_ppm // PPM)
        quote = self._value(pair.quote, step) * 10**pair.base.decimals * PPM
        return Price(base, quote)

    def _value(self, token: Token, step: int) -> int:
        """Millionths of a micro-dollar per whole token."""
        moved = 0 if token.mint == USDC else wander(f"{self._seed}:{token.mint}", step, _WAVES)
        return reference_value(token.mint) * (PPM + moved * self._drift_ppm // PPM)

    def _token(self, mint: str) -> Token:
        token = self._tokens.get(mint)
        if token is None:
            raise Unsupported(f"{mint} is not a known token")
        return token


def reference_price(pair: Pair) -> Price:
    """The price that every path wanders around."""
    return Price(
        reference_value(pair.base.mint) * 10**pair.quote.decimals,
        reference_value(pair.quote.mint) * 10**pair.base.decimals,
    )


def depth(pair: Pair, dollars: int) -> tuple[int, int]:
    """`dollars` worth of each token at reference prices, in base units: (base, quote).

    Less, in proportion, where a token has so many decimals that a token account could not hold it; at least one unit.
    """
    micros = dollars * PPM
    base = micros * 10**pair.base.decimals // reference_value(pair.base.mint)
    quote = micros * 10**pair.quote.decimals // reference_value(pair.quote.mint)
    most = max(base, quote)
    if most > _U64_ROOM:
        base, quote = base * _U64_ROOM // most, quote * _U64_ROOM // most
    return max(base, 1), max(quote, 1)


@lru_cache(maxsize=4096)
def reference_value(mint: str) -> int:
    """Micro-dollars per whole token: 1 for USDC, 150 for SOL, and between 0.01 and 99 by hash for all others."""
    if mint == USDC:
        return PPM
    if mint == WSOL:
        return 150 * PPM
    digest = _hash(mint)
    return (10_000 + digest % 90_000) * (1, 10, 100, 1_000)[digest // 90_000 % 4]


def wander(key: str, step: int, waves: tuple[tuple[int, int], ...]) -> int:
    """Where the path named `key` stands at `step`, from -1,000,000 to 1,000,000.

    Value noise: each wave has hashed turning points, with straight lines between.
    """
    height = 0
    for period, percent in waves:
        point, past = divmod(step, period)
        before = _turning_point(key, period, point)
        after = _turning_point(key, period, point + 1)
        height += (before * (period - past) + after * past) * percent // (period * 100)
    return height


@lru_cache(maxsize=4096)
def _turning_point(key: str, period: int, point: int) -> int:
    return _hash(f"{key}:{period}:{point}") % (2 * PPM + 1) - PPM


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def _quote_rank(token: Token) -> tuple[bool, bool, str]:
    return token.mint == USDC, token.mint == WSOL, token.mint
