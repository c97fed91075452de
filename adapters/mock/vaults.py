"""The vaults of a mock venue on a localnet: their balances, their funding, and the swaps against them.

A pool is an authority with a token account for each token of its pair. A swap is one transaction with two transfers,
wallet to vault and vault to wallet, which both sign. An order calls `balances` for its quote, `ready` and `swap` when
it is built, and `cosign` before it is sent.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dexexec.domain.quote import Quote
from dexexec.domain.reading_ahead import ReadingAheadChain
from dexexec.domain.solana import Account, AccountMeta, Instruction, SwapInstructions
from dexexec.domain.swap import Blockhash
from dexexec.domain.token import WSOL, Token
from dexexec.venue import BadAnswer, Faucet, Network, QuoteExpired, SolanaChain, Timeout, VenueContext
from dexexec_adapters.mock.market import PPM, Pair, reference_value
from dexexec_adapters.solana import spl
from dexexec_adapters.solana.keys import Authority, associated, read_message, token_account
from dexexec_adapters.solana.token_accounts import MintRules, read_mint

MAX_FUNDING = 2**60
"""The most base units that an account is funded with, so that many of them fit into a mint's supply of 64 bits."""
WALLET_LAMPORTS = 10_000 * 10**9
WALLET_DOLLARS = 10_000_000
POLL_SECONDS = 0.2
FUNDING_SECONDS = 10.0
FUNDING_SLOTS = 32
"""After this many slots a transfer of the faucet is confirmed, or never will be."""
EXPIRED_KEPT_MS = 60_000
"""How long an expired promise is kept, so that the error is "expired" and not "unknown"."""


@dataclass(frozen=True, slots=True)
class Pool:
    """The vaults of a pair. The pool's address is that of their authority."""

    pair: Pair
    authority: Authority
    base_vault: str
    quote_vault: str

    @property
    def address(self) -> str:
        """The address in a quote's route."""
        return self.authority.address

    def vault(self, mint: str) -> str:
        """The vault of one of the pair's mints."""
        return self.base_vault if mint == self.pair.base.mint else self.quote_vault


@dataclass(frozen=True, slots=True)
class Balances:
    """The balances of the vaults in base units, as of `slot`."""

    slot: int
    base: int
    quote: int


@dataclass(frozen=True, slots=True)
class _Funding:
    """An amount that `owner` gets from the faucet. Without a token: lamports."""

    owner: str
    token: Token | None
    amount: int

    @property
    def key(self) -> tuple[str, str]:
        return self.owner, self.token.mint if self.token else ""


class Vaults:
    """All pools of one venue. Their addresses follow from `name` and `seed`.

    Raises `TypeError` for a chain without accounts or faucet.
    """

    def __init__(self, context: VenueContext[Any], name: str, seed: int) -> None:
        chain = context.chain
        self._clock = context.clock
        if not isinstance(chain, SolanaChain) or not isinstance(chain, Faucet):
            raise TypeError(f"this chain has no accounts or no faucet: the network {Network.LOCALNET!r} is needed")
        self._chain: SolanaChain = chain
        self._faucet: Faucet = chain
        self._name = f"dexexec localnet vaults:{name}:{seed}"
        self._pools: dict[Pair, Pool] = {}
        self._funded_at: dict[tuple[str, str], int] = {}
        # One transfer at a time: orders that find the same empty vault at once must fund it only once.
        self._funding_lock = asyncio.Lock()
        self._promises: dict[tuple[str, tuple[Instruction, ...]], tuple[Pool, int]] = {}

    def pool(self, pair: Pair) -> Pool:
        """The pool of a pair, whether its vaults exist or not."""
        cached = self._pools.get(pair)
        if cached is None:
            authority = Authority(f"{self._name}:{pair.base.mint}:{pair.quote.mint}")
            vaults = (associated(authority.address, token.mint) for token in (pair.base, pair.quote))
            cached = self._pools[pair] = Pool(pair, authority, *vaults)
        return cached

    def accounts(self, pair: Pair | None = None) -> dict[str, tuple[str, str]]:
        """The vaults of all pools that were used, by the pool's address; with `pair` only those of its pool."""
        return {
            pool.address: (pool.base_vault, pool.quote_vault)
            for pool in self._pools.values()
            if pair in (None, pool.pair)
        }

    async def balances(self, pool: Pool, first: tuple[int, int]) -> Balances:
        """The balances of the vaults. Missing vaults are funded with `first` (base, quote). Raises `VenueError`."""
        vaults = (pool.base_vault, pool.quote_vault)
        if isinstance(self._chain, ReadingAheadChain):
            await self._chain.read_ahead(vaults, (pool.address,), written=vaults)
        answer = await self._chain.accounts(vaults)
        for funding in _missing_vaults(pool, first, answer.found):
            await self._fund(funding, answer.slot)
        # A vault that was just funded counts as funded, so that the first quote need not wait for the transfer.
        base, quote = (
            amount if held is None else held
            for held, amount in zip(map(_balance, answer.found), _limited(first), strict=True)
        )
        return Balances(answer.slot, base, quote)

    async def mint_rules(self, token: Token) -> MintRules:
        """The rules of a token's mint, which the faucet has created. Raises `VenueError`."""
        [account] = (await self._chain.accounts((token.mint,))).found
        return read_mint(token.mint, account, program=spl.TOKEN)

    async def ready(self, pool: Pool, first: tuple[int, int], payer: str) -> Balances:
        """The balances of the vaults, once vaults and wallet are funded. Raises `VenueError`.

        A wallet without a token of the pair, or without lamports, gets plenty of it.
        """
        tokens = [token for token in (pool.pair.base, pool.pair.quote) if token.mint != WSOL]
        addresses = [pool.base_vault, pool.quote_vault, payer, *(associated(payer, token.mint) for token in tokens)]
        until = self._clock.monotonic() + FUNDING_SECONDS
        while True:
            answer = await self._chain.accounts(addresses)
            base, quote, wallet, *held = answer.found
            amounts = [_balance(account) or 0 for account in held]
            fundings = _missing_vaults(pool, first, (base, quote))
            if wallet is None or wallet.lamports == 0:
                fundings.append(_Funding(payer, None, WALLET_LAMPORTS))
            fundings += [
                _Funding(payer, token, _wallet_amount(token))
                for token, amount in zip(tokens, amounts, strict=True)
                if not amount
            ]
            if not fundings:
                return Balances(answer.slot, _balance(base) or 0, _balance(quote) or 0)
            for funding in fundings:
                await self._fund(funding, answer.slot)
            if self._clock.monotonic() >= until:
                raise Timeout(f"the faucet's transfers were not confirmed within {FUNDING_SECONDS:g} s", shared=True)
            await self._clock.sleep(POLL_SECONDS)

    def swap(
        self, pool: Pool, quote: Quote, payer: str, blockhash: Blockhash, amounts: tuple[int, int]
    ) -> SwapInstructions:
        """The instructions that move `amounts` (paid, received). `cosign` signs them until the quote expires."""
        request = quote.request
        paid, received = amounts
        pair = pool.pair
        authority = pool.address
        paying, getting = (pair.base, pair.quote) if request.mint_in == pair.base.mint else (pair.quote, pair.base)
        source, target = (token_account(payer, token.mint) for token in (paying, getting))
        vault_in = pool.vault(paying.mint)
        vault_out = pool.vault(getting.mint)
        swap = (
            spl.transfer_checked(source.address, paying.mint, vault_in, payer, paid, paying.decimals),
            spl.transfer_checked(vault_out, getting.mint, target.address, authority, received, getting.decimals),
        )
        self._promise(pool, payer, swap, quote.expires_at_ms)
        steps = spl.between_accounts(payer, source, target, paid, swap)
        return SwapInstructions(steps, blockhash, signers=(authority,))

    def cosign(self, message: bytes) -> dict[str, bytes]:
        """The authority's signature for a message with a promised swap.

        Raises `BadAnswer` for any other message, and `QuoteExpired` when the promise has expired.
        """
        try:
            payer, steps = read_message(message)
        except ValueError as error:
            raise BadAnswer(f"the message cannot be signed: {error}") from error
        swap = tuple(step for step in steps if not _concerns_payer_only(step))
        pool, expires_at_ms = self._promises.get((payer, swap), (None, 0))
        # The steps around the swap are not part of the promise, so they may not touch anything of the pool.
        others = {meta.address for step in steps if _concerns_payer_only(step) for meta in step.accounts}
        if pool is None or others & {pool.address, pool.base_vault, pool.quote_vault}:
            raise BadAnswer("the message is not a swap that was built here, or it was changed")
        if self._clock.unix_ms() >= expires_at_ms:
            raise QuoteExpired("the quote has expired, so its swap is not signed: request a new one")
        return {pool.address: pool.authority.sign(message)}

    def _promise(self, pool: Pool, payer: str, steps: tuple[Instruction, ...], expires_at_ms: int) -> None:
        now_ms = self._clock.unix_ms()
        # A dict keeps the order of insertion, which is about the order of expiry.
        while self._promises:
            oldest = next(iter(self._promises))
            if self._promises[oldest][1] + EXPIRED_KEPT_MS > now_ms:
                break
            del self._promises[oldest]
        key = payer, tuple(map(_without_flags, steps))
        # Two orders may get the same swap. The promise holds until the later quote expires.
        _, earlier_ms = self._promises.pop(key, (pool, 0))
        self._promises[key] = pool, max(earlier_ms, expires_at_ms)

    async def _fund(self, funding: _Funding, slot: int) -> None:
        """Ask the faucet for a transfer, unless one was made recently and may not be visible at `slot` yet."""
        async with self._funding_lock:
            funded_at = self._funded_at.get(funding.key)
            if funded_at is not None and abs(slot - funded_at) <= FUNDING_SLOTS:
                return
            token = funding.token
            mint, decimals = (token.mint, token.decimals) if token else ("", 9)
            await self._faucet.fund(funding.owner, mint, decimals, funding.amount)
            self._funded_at[funding.key] = slot


def _missing_vaults(pool: Pool, first: tuple[int, int], vaults: Sequence[Account | None]) -> list[_Funding]:
    """The funding of vaults that do not exist. An existing vault is never refilled: its balance is the price."""
    tokens = (pool.pair.base, pool.pair.quote)
    return [
        _Funding(pool.address, token, amount)
        for token, amount, account in zip(tokens, _limited(first), vaults, strict=True)
        if account is None
    ]


def _balance(account: Account | None) -> int | None:
    try:
        return spl.token_amount(account)
    except ValueError as error:
        raise BadAnswer(f"the account at a token account's address is of another kind: {error}") from error


def _limited(first: tuple[int, int]) -> tuple[int, int]:
    """Both amounts reduced in proportion, so that none is above `MAX_FUNDING`. At least one unit each."""
    largest = max(*first, MAX_FUNDING)
    base, quote = (max(1, amount * MAX_FUNDING // largest) for amount in first)
    return base, quote


def _wallet_amount(token: Token) -> int:
    worth: int = WALLET_DOLLARS * PPM * 10**token.decimals // reference_value(token.mint)
    return max(1, min(worth, MAX_FUNDING))


def _concerns_payer_only(step: Instruction) -> bool:
    """Whether a step without accounts of the pool only concerns the payer: budget, memo, opening and wrapping."""
    if step.program == spl.COMPUTE_BUDGET:
        return not step.accounts
    # A memo's accounts only have to sign.
    return step.program in (spl.MEMO, spl.SYSTEM, spl.ASSOCIATED_TOKEN) or (step.program, step.data) in spl.WRAPPING


def _without_flags(instruction: Instruction) -> Instruction:
    """The instruction as `read_message` returns it: a message has flags per account, not per instruction."""
    return replace(instruction, accounts=tuple(AccountMeta(meta.address) for meta in instruction.accounts))
