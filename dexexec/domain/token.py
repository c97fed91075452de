"""Tokens, and the conversion between decimal strings (clients) and base units (everything else), without rounding."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from types import MappingProxyType

BASE58 = frozenset("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")
WSOL = "So11111111111111111111111111111111111111112"
USDC = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"


@dataclass(frozen=True, slots=True)
class Token:
    """A mint, its ticker, and the number of decimals between a base unit and a token."""

    mint: str
    symbol: str
    decimals: int


KNOWN = (Token(WSOL, "SOL", 9), Token(USDC, "USDC", 6))


def looks_like_mint(text: str) -> bool:
    """Whether `text` has the form of a public key: 32 to 44 base58 characters."""
    return 32 <= len(text) <= 44 and BASE58.issuperset(text)


class Tokens:
    """The configured tokens, by mint."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        self._by_mint: Mapping[str, Token] = MappingProxyType({token.mint: token for token in tokens})

    def get(self, mint: str) -> Token | None:
        """The token, or None if it is not configured."""
        return self._by_mint.get(mint)

    def __iter__(self) -> Iterator[Token]:
        return iter(self._by_mint.values())


def to_base_units(amount: Decimal, decimals: int) -> int | None:
    """Returns `amount` tokens in base units, or None if it has more decimals than the token."""
    # The default precision of 28 digits would round large amounts silently.
    with localcontext(prec=120):
        scaled = amount.scaleb(decimals)
        return int(scaled) if scaled == scaled.to_integral_value() else None


def from_base_units(amount: int, decimals: int) -> str:
    """Returns `amount` base units as an exact decimal string without trailing zeros: 1500000, 6 -> "1.5"."""
    whole, part = divmod(abs(amount), 10**decimals)
    text = f"{whole}.{part:0{decimals}d}".rstrip("0").rstrip(".") if decimals else str(whole)
    return f"-{text}" if amount < 0 else text


def parse_tokens(text: str) -> tuple[Token, ...]:
    """Parses a comma-separated list of `MINT:SYMBOL:DECIMALS`. Raises `ValueError`."""
    tokens = []
    # An empty entry, as after a trailing comma, is ignored.
    for entry in filter(None, (part.strip() for part in text.split(","))):
        mint, _, rest = entry.partition(":")
        symbol, _, decimals = rest.partition(":")
        if not looks_like_mint(mint) or not symbol or not decimals.isdecimal() or int(decimals) > 18:
            raise ValueError("each token must be MINT:SYMBOL:DECIMALS, with a base58 mint and 0 to 18 decimals")
        tokens.append(Token(mint, symbol, int(decimals)))
    return tuple(tokens)
