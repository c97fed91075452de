"""The venue `pumpswap`: quotes and swaps of PumpSwap's pools on Solana, after the program's public documents.

`adapters/pools/venue.py` does the work; this module has what is specific to the program. No build of the program is
public, so no run has confirmed its quotes.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from dexexec.domain import base58
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.solana import Account, AccountFilters, AccountMeta, Instruction
from dexexec.domain.token import WSOL
from dexexec.venue import BadAnswer, Capabilities, Network, NoRoute, Slippage, Unsupported, VenueContext, VenueError
from dexexec_adapters.curves.pumpswap import FeeTier, PumpPool, quote_exact_in, quote_exact_out
from dexexec_adapters.curves.swap import ChainTime, SwapResult, TradeDirection
from dexexec_adapters.pools.options import PoolOptions
from dexexec_adapters.pools.search import Mints
from dexexec_adapters.pools.token_programs import TokenPrograms
from dexexec_adapters.pools.venue import PoolVenue
from dexexec_adapters.pumpswap import layout
from dexexec_adapters.pumpswap.layout import NO_KEY, GlobalConfig, PoolKeys, PoolState
from dexexec_adapters.solana.addresses import address_bytes
from dexexec_adapters.solana.clusters import PUMP, PUMP_FEES, PUMPSWAP
from dexexec_adapters.solana.spl import ASSOCIATED_TOKEN, SYSTEM
from dexexec_adapters.solana.token_accounts import check_mint

BUY = bytes.fromhex("66063d1201daebea")
SELL = bytes.fromhex("33e685a4017f83ad")
TRACK_VOLUME = b"\x00"
"""No: the volume counts for rewards of the coin's holders, which are none of a swap."""
SUPPLY_AT = 36
MOST_MAKERS = 4_096
"""Derived addresses that are kept. One costs several quotes."""
RECIPIENTS = 8
SWITCHED_OFF = "the program has switched some of its instructions off"
FAILURES: Mapping[int, VenueError] = {
    **dict.fromkeys((6004, 6040), Slippage("the price moved past the order's bound")),
    **dict.fromkeys((6020, 6021), NoRoute(SWITCHED_OFF)),
    **dict.fromkeys((6001, 6002), NoRoute("the amount is too small: after fees and rounding nothing comes out")),
    **dict.fromkeys((6003, 6016), NoRoute("the pool does not hold enough")),
    **dict.fromkeys((6013, 6053), BadAnswer("the program's receivers of fees have changed")),
}
"""Error numbers of the program's IDL."""


class PumpSwap(PoolVenue[PoolKeys, PoolState, PumpPool]):
    """Quotes and builds swaps, each with one pool."""

    name = "pumpswap"
    Options = PoolOptions
    options_prefix = "DEXEXEC_PUMPSWAP_"
    kind = "PumpSwap"
    deployments = PUMPSWAP
    failures = FAILURES
    capabilities = Capabilities(
        network=Network.SOLANA, unproven="its quotes follow documents, and were never compared with the program"
    )

    def __init__(self, context: VenueContext[PoolOptions]) -> None:
        super().__init__(context)
        # Imported here because it needs a Solana library, which an installation without Solana lacks.
        from dexexec_adapters.solana import keys  # noqa: PLC0415

        self._keys = keys
        self._token_programs = TokenPrograms(self.chain)
        self._config_address = self.derived(b"global_config")
        self._fee_config = keys.derived(PUMP_FEES, b"fee_config", address_bytes(self.program_id))
        self._events = self.derived(b"__event_authority")
        self._volume = self.derived(b"global_volume_accumulator")
        self._maker = lru_cache(MOST_MAKERS)(self._derive_maker)
        self._recipients: tuple[Sequence[str], Sequence[str]] | None = None

    # ---- its pools ----

    def filters(self, pair: Mints) -> Sequence[AccountFilters]:
        """Two searches, because a pool may have the pair in either order."""
        return [layout.pool_filters(*mints) for mints in (pair, pair[::-1])]

    def derived_pools(self, pair: Mints) -> Sequence[str]:
        """The pool that pump's own program makes for a coin and SOL."""
        wsol = address_bytes(WSOL)
        return [
            self.derived(b"pool", bytes(2), address_bytes(self._maker(base58.encode(mint))), mint, wsol)
            for mint in pair
            if wsol in pair and mint != wsol
        ]

    async def learn(self, pair: Mints) -> None:
        """Read the token programs of the pair, and who receives the program's fees."""
        await self._token_programs.learn(map(base58.encode, pair))
        answer = await self.chain.accounts([self._config_address])
        config = self._read_config(answer.found[0])
        self._recipients = (
            [one.address for one in config.protocol_fee_recipients],
            [one.address for one in config.buyback_fee_recipients],
        )

    def read_pool(self, address: str, account: Account | None) -> PoolState:
        """The pool, after checking owner, discriminator and size, and that it is of a kind that is described in
        full."""
        pool = layout.read_pool(address, account, self.program_id)
        if pool.creator == self._maker(pool.base_mint) and pool.quote_mint != WSOL:
            raise Unsupported(f"the pool {address} is of a pump coin in another token than SOL")
        if self._recipients is None:
            raise BadAnswer("the receivers of the program's fees are not known yet")
        # All of them may be used. Those of a pool stay the same, so its transactions can be compared.
        turn = address_bytes(address)[0] % RECIPIENTS
        keys = PoolKeys(
            address=address,
            mints=(pool.base_mint, pool.quote_mint),
            vaults=(pool.base_vault, pool.quote_vault),
            token_programs=(self._token_programs.of(pool.base_mint), self._token_programs.of(pool.quote_mint)),
            creator=pool.creator,
            coin_creator=pool.coin_creator,
            protocol_fee_recipient=self._recipients[0][turn],
            buyback_fee_recipient=self._recipients[1][turn],
        )
        return PoolState(keys=keys, account=pool)

    def vault_owner(self, pool: PoolKeys) -> str:
        """The pool itself."""
        return pool.address

    def reserves(self, state: PoolState, held: tuple[int, int]) -> tuple[int, int]:
        """The vaults."""
        return held

    def launched_at_ms(self, state: PoolState, now: ChainTime) -> int:
        """A pool is open as soon as it exists."""
        return 0

    # ---- what a price depends on ----

    def accounts_of(self, pool: PoolKeys) -> Sequence[str]:
        """The pool, its vaults and mints, and the program's config and fees."""
        return [pool.address, *pool.vaults, *pool.mints, self._config_address, self._fee_config]

    def swap_accounts(self) -> Sequence[str]:
        """What all swaps name."""
        return [self._config_address, self._fee_config, self._events, self._volume]

    # ---- prices ----

    def curve(self, state: PoolState, held: tuple[int, int], accounts: Mapping[str, Account | None]) -> PumpPool:
        """The pool with the fees that apply to it."""
        keys = state.keys
        if self._read_config(accounts[self._config_address]).disable_flags:
            # Which bit is which instruction is not documented.
            raise NoRoute(SWITCHED_OFF)
        for mint, token_program in zip(keys.mints, keys.token_programs, strict=True):
            if check_mint(mint, accounts[mint], program=token_program) is not None:
                raise Unsupported(f"the mint {mint} has a transfer fee, with which the documents compute no swap")
        base = accounts[keys.mints[0]]
        assert base is not None  # noqa: S101 - `check_mint` has checked it
        flat, tiers = layout.read_fees(self._fee_config, accounts[self._fee_config], PUMP_FEES)
        if keys.creator != self._maker(keys.mints[0]):
            tiers = (FeeTier(market_cap=0, fees=flat),)
        try:
            return PumpPool(
                vaults=held,
                supply=int.from_bytes(base.data[SUPPLY_AT : SUPPLY_AT + 8], "little"),
                tiers=tiers,
                has_creator=keys.coin_creator != NO_KEY,
            )
        except ValueError as error:
            raise BadAnswer(f"the fee config {self._fee_config}: {error}") from error

    def price(
        self, curve: PumpPool, request: SwapRequest, direction: TradeDirection, now: ChainTime
    ) -> SwapResult[PumpPool]:
        """The swap by `adapters/curves/pumpswap.py`."""
        price = quote_exact_in if request.mode is Mode.EXACT_IN else quote_exact_out
        return price(curve, request.amount, direction, now)

    # ---- swaps ----

    def swap(self, pool: PoolKeys, quote: Quote, payer: str, accounts: tuple[str, str]) -> Instruction:
        """`sell` or `buy`. Both name the account of the base token first."""
        sells = quote.request.mode is Mode.EXACT_IN
        own = accounts if sells else accounts[::-1]
        authority = self.derived(b"creator_vault", address_bytes(pool.coin_creator))
        owner = self.derived(b"user_volume_accumulator", address_bytes(payer))
        volume = () if sells else (AccountMeta(self._volume), AccountMeta(owner, writable=True))
        # Pools of pump's own coins name one more account.
        newer = self.derived(b"pool-v2", address_bytes(pool.mints[0]))
        beyond = () if pool.coin_creator == NO_KEY else (AccountMeta(newer),)
        metas = (
            AccountMeta(pool.address, writable=True),
            AccountMeta(payer, signer=True, writable=True),
            AccountMeta(self._config_address),
            *map(AccountMeta, pool.mints),
            *(AccountMeta(account, writable=True) for account in (*own, *pool.vaults)),
            AccountMeta(pool.protocol_fee_recipient),
            AccountMeta(self._in_quote(pool, pool.protocol_fee_recipient), writable=True),
            *map(AccountMeta, (*pool.token_programs, SYSTEM, ASSOCIATED_TOKEN, self._events, self.program_id)),
            AccountMeta(self._in_quote(pool, authority), writable=True),
            AccountMeta(authority),
            *volume,
            *map(AccountMeta, (self._fee_config, PUMP_FEES)),
            *beyond,
            AccountMeta(pool.buyback_fee_recipient),
            AccountMeta(self._in_quote(pool, pool.buyback_fee_recipient), writable=True),
        )
        if sells:
            tag, amounts, rest = SELL, (quote.amount_in, quote.min_out), b""
        else:
            tag, amounts, rest = BUY, (quote.amount_out, quote.max_in), TRACK_VOLUME
        return Instruction(
            self.program_id, metas, tag + b"".join(amount.to_bytes(8, "little") for amount in amounts) + rest
        )

    def _in_quote(self, pool: PoolKeys, owner: str) -> str:
        return self._keys.associated(owner, pool.mints[1], pool.token_programs[1])

    def _derive_maker(self, mint: str) -> str:
        """Who makes the pool of a coin of pump's own program."""
        return self._keys.derived(PUMP, b"pool-authority", address_bytes(mint))

    def _read_config(self, account: Account | None) -> GlobalConfig:
        return layout.read_config(self._config_address, account, self.program_id)
