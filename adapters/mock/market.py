"""The market of the mock venues: prices that are a pure function of seed, token and time.

So all processes have the same prices without sharing state, also after a restart. Each venue's price differs a little
from the common one, by an amount that changes: which venue is better depends on size and time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from dexexec.domain.token import USDC, WSOL, Token
from dexexec.venue import Unsupported

PPM = 1_000_000
STEP_MS = 1_000
"""How often prices change."""
_MAX_DEPTH = 2**62
"""Base units. A quarter of what a token account can hold, so that swaps into a pool do not overflow."""
_MAX_CACHED_PAIRS = 1_024
_WAVES = ((3_600, 60), (300, 30), (20, 10))
"""The waves of a price path: steps between turning points, and percent of the whole amplitude."""
_OFFSET_WAVES = ((30, 100),)


@dataclass(frozen=True, slots=True)
class Pair:
    """A pool's two tokens. Prices are `quote` per `base`. The quote token is USDC, else SOL, else the larger mint."""

    base: Token
    quote: Token


@dataclass(frozen=True, slots=True)
class Price:
    """Base units of the quote token per base unit of the base token, as a fraction of two positive integers."""

    numerator: int
    denominator: int


class Market:
    """The prices of one venue.

    `token_of` returns the token of a mint, None for an unknown one. `drift_ppm` is a token's largest distance from its
    reference value, `offset_ppm` the venue's largest distance from the common price.
    """

    def __init__(
        self, seed: int, venue: str, token_of: Callable[[str], Token | None], drift_ppm: int, offset_ppm: int
    ) -> None:
        self._seed = seed
        self._venue = venue
        self._token_of = token_of
        self._drift_ppm = drift_ppm
        self._offset_ppm = offset_ppm
        self.multiple_ppm = PPM
        """By what all prices are multiplied."""
        self._pairs: dict[tuple[str, str], Pair] = {}

    def pair(self, mints: tuple[str, str]) -> Pair:
        """The pair of two mints, in any order. Raises `Unsupported` for an unknown token, or the same token twice."""
        cached = self._pairs.get(mints)
        if cached is None:
            if mints[0] == mints[1]:
                raise Unsupported("mint_in and mint_out are the same token")
            base, quote = sorted(map(self._token, mints), key=_quote_rank)
            cached = Pair(base, quote)
            # Clients can name any number of mints that are launched later.
            if len(self._pairs) < _MAX_CACHED_PAIRS:
                self._pairs[mints] = cached
        return cached

    def price(self, pair: Pair, step: int) -> Price:
        """This venue's price at `step` (Unix milliseconds / `STEP_MS`)."""
        # The key has the venue in it, so each venue's offset moves on its own.
        offset = path_value(f"{self._seed}:{self._venue}:{pair.base.mint}:{pair.quote.mint}", step, _OFFSET_WAVES)
        base = self._value(pair.base, step) * 10**pair.quote.decimals * (PPM + offset * self._offset_ppm // PPM)
        quote = self._value(pair.quote, step) * 10**pair.base.decimals * PPM
        return Price(base * self.multiple_ppm, quote * PPM)

    def _value(self, token: Token, step: int) -> int:
        """The price of a whole token, in millionths of a micro-dollar."""
        moved = 0 if token.mint == USDC else path_value(f"{self._seed}:{token.mint}", step, _WAVES)
        return reference_value(token.mint) * (PPM + moved * self._drift_ppm // PPM)

    def _token(self, mint: str) -> Token:
        token = self._token_of(mint)
        if token is None:
            raise Unsupported(f"the token {mint} is unknown: add it to DEXEXEC_TOKENS")
        return token


def reference_price(pair: Pair) -> Price:
    """The price around which every path moves."""
    return Price(
        reference_value(pair.base.mint) * 10**pair.quote.decimals,
        reference_value(pair.quote.mint) * 10**pair.base.decimals,
    )


def depth(pair: Pair, dollars: int) -> tuple[int, int]:
    """`dollars` worth of each token at reference prices, in base units: (base, quote)."""
    micros = dollars * PPM
    base = micros * 10**pair.base.decimals // reference_value(pair.base.mint)
    quote = micros * 10**pair.quote.decimals // reference_value(pair.quote.mint)
    # A token with many decimals could exceed a token account's 64 bits. Both are reduced, so that the price stays.
    largest = max(base, quote)
    if largest > _MAX_DEPTH:
        base = base * _MAX_DEPTH // largest
        quote = quote * _MAX_DEPTH // largest
    return max(base, 1), max(quote, 1)


def at_price(reserves: tuple[int, int], price: Price) -> tuple[int, int]:
    """Reserves (base, quote) of the same depth at `price`. Either may be 0 where the units are too far apart."""
    base, quote = reserves
    # The side with more units takes the whole price change, so that the price stays exact for coarse tokens.
    if quote >= base:
        return base, base * price.numerator // price.denominator
    return quote * price.denominator // price.numerator, quote


@lru_cache(maxsize=4096)
def reference_value(mint: str) -> int:
    """Micro-dollars per whole token: 1 dollar for USDC, 150 for SOL, and 0.01 to 99 by hash for all others."""
    if mint == USDC:
        return PPM
    if mint == WSOL:
        return 150 * PPM
    digest = _hash(mint)
    return (10_000 + digest % 90_000) * (1, 10, 100, 1_000)[digest // 90_000 % 4]


def path_value(key: str, step: int, waves: tuple[tuple[int, int], ...]) -> int:
    """The value of the path `key` at `step`, from -1,000,000 to 1,000,000."""
    # Value noise: the turning points of each wave are hashes of their position, with straight lines between them.
    value = 0
    for period, percent in waves:
        point, past = divmod(step, period)
        before = _turning_point(key, period, point)
        after = _turning_point(key, period, point + 1)
        value += (before * (period - past) + after * past) * percent // (period * 100)
    return value


@lru_cache(maxsize=4096)
def _turning_point(key: str, period: int, point: int) -> int:
    return _hash(f"{key}:{period}:{point}") % (2 * PPM + 1) - PPM


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def _quote_rank(token: Token) -> tuple[bool, bool, str]:
    return token.mint == USDC, token.mint == WSOL, token.mint
