"""A new pool as an adapter reports it: the tokens, their rules and reserves, and since when swaps are possible.

Orders that wait for a launch compare their conditions with it. Everything in it was read from the chain.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolToken:
    """One of a pool's two tokens. `reserve` is what the pool can trade, in base units. The authorities are addresses,
    None once they are revoked, which is for good. `transfer_fee_bps` is the highest fee that the token takes of a
    transfer, now or from a later epoch on."""

    mint: str
    decimals: int
    reserve: int
    mint_authority: str | None = None
    freeze_authority: str | None = None
    transfer_fee_bps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPool:
    """A pool of the venue `venue`, as of `slot`. Swaps are possible from `launched_at_ms` on: Unix time, perhaps in the
    future."""

    venue: str
    address: str
    tokens: tuple[PoolToken, PoolToken]
    slot: int
    launched_at_ms: int

    @property
    def mints(self) -> tuple[str, str]:
        """The mints of the two tokens, in the pool's order."""
        return self.tokens[0].mint, self.tokens[1].mint

    def token(self, mint: str) -> PoolToken:
        """The token with that mint. Raises `KeyError`."""
        for token in self.tokens:
            if token.mint == mint:
                return token
        raise KeyError(mint)
