"""The launches of the mock venues: when a pool of a mint that is not configured opens, and what it is like.

Time is divided into periods. In each, every such mint gets one pool per venue: it opens in the first half of the period
and is gone when the period ends. All of it follows from seed, mint and time, so all processes have the same launches,
also after a restart. The tokens differ: some have authorities or a transfer fee, and the pools are of many sizes.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from dexexec.domain import base58
from dexexec.domain.token import Token, Tokens

_MINT_BYTES = 32
_DECIMALS = (6, 6, 9, 5)
_DOLLARS = (1_000, 10_000, 100_000, 1_000_000)
_FEES_BPS = (0, 0, 0, 0, 0, 0, 100, 500)


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A pool of a venue in one period. `dollars` is the value of each side at reference prices. The token's rules are
    as in `PoolToken`."""

    number: int
    opens_at_ms: int
    dollars: int
    mint_authority: str | None
    freeze_authority: str | None
    transfer_fee_bps: int

    def rules(self) -> dict[str, Any]:
        """The token's rules by their names in `PoolToken`."""
        return {
            "mint_authority": self.mint_authority,
            "freeze_authority": self.freeze_authority,
            "transfer_fee_bps": self.transfer_fee_bps,
        }


class LaunchSchedule:
    """The launches of one venue, one per mint in each period of `period_ms`; none if that is 0."""

    def __init__(self, seed: int, venue: str, tokens: Tokens, period_ms: int) -> None:
        self._seed = seed
        self._venue = venue
        self._tokens = tokens
        self.period_ms = period_ms

    def launches(self, mint: str) -> bool:
        """Whether `mint` gets pools by launches: it is a mint, and not configured."""
        return self.period_ms > 0 and self._tokens.get(mint) is None and _is_mint(mint)

    def token(self, mint: str) -> Token | None:
        """The token of a configured or launched mint."""
        if not self.launches(mint):
            return self._tokens.get(mint)
        return Token(mint, mint[:4], _DECIMALS[self._draw(mint, "decimals") % len(_DECIMALS)])

    def at(self, mint: str, now_ms: int) -> Launch:
        """The launch of a mint in the period of `now_ms`, whether its pool is open already or not."""
        number = now_ms // self.period_ms
        opens_in = self._draw(mint, f"{self._venue}:{number}:time") % max(self.period_ms // 2, 1)
        size = self._draw(mint, f"{self._venue}:{number}:size")
        # One in four tokens still has each authority. They are the same at every venue, like everything of the token.
        return Launch(
            number=number,
            opens_at_ms=number * self.period_ms + opens_in,
            dollars=_DOLLARS[size % len(_DOLLARS)] * (1 + size // len(_DOLLARS) % 9),
            mint_authority=_address(f"{mint}:mint authority") if self._draw(mint, "mint") % 4 == 0 else None,
            freeze_authority=_address(f"{mint}:freeze authority") if self._draw(mint, "freeze") % 4 == 0 else None,
            transfer_fee_bps=_FEES_BPS[self._draw(mint, "fee") % len(_FEES_BPS)],
        )

    def _draw(self, mint: str, what: str) -> int:
        digest = blake2b(f"{self._seed}:{mint}:{what}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big")


def _is_mint(text: str) -> bool:
    # Base58 decoding takes time quadratic in the length.
    if len(text) > 44:
        return False
    try:
        return len(base58.decode(text)) == _MINT_BYTES
    except ValueError:
        return False


def _address(text: str) -> str:
    return base58.encode(blake2b(text.encode(), digest_size=32).digest())
