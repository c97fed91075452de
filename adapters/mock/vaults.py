"""The vaults of a mock venue on a localnet: what they hold, how they are filled, and the swap that moves them.

One pool per pair: an authority with a token account for each of the two. A swap is one transaction of two transfers,
wallet to vault and vault to wallet, that both have to sign. The way of an order through here: `balances` for the quote,
`ready` and `swap` when it is built, `cosign` before it is sent.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dexexec.domain.quote import Quote
from dexexec.domain.solana import Account, AccountMeta, Instruction, SwapInstructions
from dexexec.domain.swap import Blockhash
from dexexec.domain.token import WSOL, Token
from dexexec.venue import BadAnswer, Faucet, Network, QuoteExpired, SolanaChain, Timeout, VenueContext
from dexexec_adapters.mock.market import PPM, Pair, reference_value
from dexexec_adapters.solana import spl
from dexexec_adapters.solana.keys import Authority, associated, read_message, token_account

MOST = 2**60
"""Base units that an account is funded with at most, so that many of them fit into a mint's supply of 64 bits."""
WALLET_LAMPORTS = 10_000 * 10**9
WALLET_DOLLARS = 10_000_000
POLL_SECONDS = 0.2
SHOWN_SECONDS = 10.0
SHOWN_SLOTS = 32
"""Within these, what was given is confirmed, or never will be."""
REMEMBERED_MS = 60_000
"""How long a promise is known after it has expired."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A pair's vaults. Its address is that of their authority."""

    pair: Pair
    authority: Authority
    base_vault: str
    quote_vault: str

    @property
    def address(self) -> str:
        """What a route names."""
        return self.authority.address

    def vault(self, mint: str) -> str:
        """The vault for one of the pair's mints."""
        return self.base_vault if mint == self.pair.base.mint else self.quote_vault


@dataclass(frozen=True, slots=True)
class Balances:
    """What the vaults hold, in base units, as of `slot`."""

    slot: int
    base: int
    quote: int


@dataclass(frozen=True, slots=True)
class _Gift:
    """What somebody lacks. Without a token: lamports."""

    owner: str
    token: Token | None
    amount: int

    @property
    def key(self) -> tuple[str, str]:
        return self.owner, self.token.mint if self.token else ""


class Vaults:
    """All pools of one venue. `name` and `seed` fix their addresses. Raises `TypeError` for a chain that has no
    accounts or no faucet."""

    def __init__(self, context: VenueContext[Any], name: str, seed: int) -> None:
        chain, self._clock = context.chain, context.clock
        if not isinstance(chain, SolanaChain) or not isinstance(chain, Faucet):
            raise TypeError(f"this chain has no accounts or no faucet: the network {Network.LOCALNET!r} is needed")
        self._chain: SolanaChain = chain
        self._faucet: Faucet = chain
        self._name = f"dexexec localnet vaults:{name}:{seed}"
        self._pools: dict[Pair, Pool] = {}
        self._given: dict[tuple[str, str], int] = {}
        self._giving = asyncio.Lock()
        self._promises: dict[tuple[str, tuple[Instruction, ...]], tuple[Pool, int]] = {}

    def pool(self, pair: Pair) -> Pool:
        """The pair's pool, whether there is anything in it or not."""
        found = self._pools.get(pair)
        if found is None:
            authority = Authority(f"{self._name}:{pair.base.mint}:{pair.quote.mint}")
            vaults = (associated(authority.address, token.mint) for token in (pair.base, pair.quote))
            found = self._pools[pair] = Pool(pair, authority, *vaults)
        return found

    async def balances(self, pool: Pool, first: tuple[int, int]) -> Balances:
        """What the vaults hold. Those that are not there are filled with `first` (base, quote), and taken to hold it
        until it shows. Raises `VenueError`."""
        found = await self._chain.accounts((pool.base_vault, pool.quote_vault))
        gifts = _missing(pool, first, found.found)
        for gift in gifts:
            await self._give(gift, found.slot)
        base, quote = (
            amount if held is None else held
            for held, amount in zip(map(_held, found.found), _fitting(first), strict=True)
        )
        return Balances(found.slot, base, quote)

    async def ready(self, pool: Pool, first: tuple[int, int], payer: str) -> Balances:
        """What the vaults hold, once they and the wallet hold something. A wallet that has nothing of a token of the
        pair, or no lamports, is given plenty. Raises `VenueError`."""
        tokens = [token for token in (pool.pair.base, pool.pair.quote) if token.mint != WSOL]
        asked = [pool.base_vault, pool.quote_vault, payer, *(associated(payer, token.mint) for token in tokens)]
        until = self._clock.monotonic() + SHOWN_SECONDS
        while True:
            found = await self._chain.accounts(asked)
            base, quote, wallet, *held = found.found
            amounts = [_held(account) or 0 for account in held]
            gifts = _missing(pool, first, (base, quote))
            if wallet is None or wallet.lamports == 0:
                gifts.append(_Gift(payer, None, WALLET_LAMPORTS))
            gifts += [
                _Gift(payer, token, _plenty(token)) for token, amount in zip(tokens, amounts, strict=True) if not amount
            ]
            if not gifts:
                return Balances(found.slot, _held(base) or 0, _held(quote) or 0)
            for gift in gifts:
                await self._give(gift, found.slot)
            if self._clock.monotonic() >= until:
                raise Timeout(f"what the faucet gave has not shown for {SHOWN_SECONDS:g} s", shared=True)
            await self._clock.sleep(POLL_SECONDS)

    def swap(
        self, pool: Pool, quote: Quote, payer: str, blockhash: Blockhash, amounts: tuple[int, int]
    ) -> SwapInstructions:
        """The transaction that moves `amounts` (paid, received), and the promise to sign it while the quote holds."""
        request, (paid, received) = quote.request, amounts
        pair, authority = pool.pair, pool.address
        paying, getting = (pair.base, pair.quote) if request.mint_in == pair.base.mint else (pair.quote, pair.base)
        source, target = (token_account(payer, token.mint) for token in (paying, getting))
        vault_in, vault_out = pool.vault(paying.mint), pool.vault(getting.mint)
        swap = (
            spl.transfer_checked(source.address, paying.mint, vault_in, payer, paid, paying.decimals),
            spl.transfer_checked(vault_out, getting.mint, target.address, authority, received, getting.decimals),
        )
        self._promise(pool, payer, swap, quote.expires_at_ms)
        steps = spl.between_accounts(payer, source, target, paid, swap)
        return SwapInstructions(steps, blockhash, signers=(authority,))

    def cosign(self, message: bytes) -> dict[str, bytes]:
        """The authority's signature, for a message that is nothing but a promised swap of one payer: besides it, only
        steps may be there that touch nothing of the pool's, as those that open and wrap for the payer. Raises
        `BadAnswer` for any other, `QuoteExpired` when the promise holds no more."""
        try:
            payer, steps = read_message(message)
        except ValueError as error:
            raise BadAnswer(f"{error}: that is nothing to sign") from error
        swap = tuple(one for one in steps if not _is_payers_own(one))
        pool, expires_at_ms = self._promises.get((payer, swap), (None, 0))
        others = {meta.address for one in steps if _is_payers_own(one) for meta in one.accounts}
        if pool is None or others & {pool.address, pool.base_vault, pool.quote_vault}:
            raise BadAnswer("the message is not a swap that was built here, as it was built")
        if self._clock.unix_ms() >= expires_at_ms:
            raise QuoteExpired("the quote is too old to sign for: ask again")
        return {pool.address: pool.authority.sign(message)}

    def _promise(self, pool: Pool, payer: str, steps: tuple[Instruction, ...], expires_at_ms: int) -> None:
        now_ms = self._clock.unix_ms()
        while self._promises:
            oldest = next(iter(self._promises))
            if self._promises[oldest][1] + REMEMBERED_MS > now_ms:
                break
            del self._promises[oldest]
        key = payer, tuple(map(_unmarked, steps))
        _, before_ms = self._promises.pop(key, (pool, 0))
        self._promises[key] = pool, max(before_ms, expires_at_ms)

    async def _give(self, gift: _Gift, slot: int) -> None:
        """Unless it was given a moment ago, and only does not show yet at `slot`."""
        async with self._giving:
            given = self._given.get(gift.key)
            if given is not None and abs(slot - given) <= SHOWN_SLOTS:
                return
            token = gift.token
            mint, decimals = (token.mint, token.decimals) if token else ("", 9)
            await self._faucet.fund(gift.owner, mint, decimals, gift.amount)
            self._given[gift.key] = slot


def _missing(pool: Pool, first: tuple[int, int], found: Sequence[Account | None]) -> list[_Gift]:
    """A vault that was once filled is never filled up: its balance is the price."""
    tokens = (pool.pair.base, pool.pair.quote)
    return [
        _Gift(pool.address, token, amount)
        for token, amount, account in zip(tokens, _fitting(first), found, strict=True)
        if account is None
    ]


def _held(account: Account | None) -> int | None:
    try:
        return spl.token_amount(account)
    except ValueError as error:
        raise BadAnswer(f"where a token account should be is something else: {error}") from error


def _fitting(first: tuple[int, int]) -> tuple[int, int]:
    """Both in proportion, none above `MOST`, at least one unit."""
    most = max(*first, MOST)
    base, quote = (max(1, amount * MOST // most) for amount in first)
    return base, quote


def _plenty(token: Token) -> int:
    worth: int = WALLET_DOLLARS * PPM * 10**token.decimals // reference_value(token.mint)
    return max(1, min(worth, MOST))


def _is_payers_own(one: Instruction) -> bool:
    """Whether it can only concern the payer, if it names nothing of the pool's: budget, memo, opening and wrapping."""
    if one.program in (spl.COMPUTE_BUDGET, spl.MEMO):
        return not one.accounts
    return one.program in (spl.SYSTEM, spl.ASSOCIATED_TOKEN) or (one.program, one.data) in spl.WRAPPING


def _unmarked(instruction: Instruction) -> Instruction:
    return replace(instruction, accounts=tuple(AccountMeta(meta.address) for meta in instruction.accounts))
