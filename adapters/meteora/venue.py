"""The venue `meteora`: quotes and swaps of Meteora's DAMM v2 pools (the program cp-amm) on Solana.

`adapters/pools/venue.py` does the work; this module has what is specific to the program.
"""

from collections.abc import Mapping, Sequence

from dexexec.domain.depth import Stretch
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.solana import Account, AccountFilters, AccountMeta, Instruction
from dexexec.venue import BadAnswer, NoRoute, Slippage, VenueError, pace_of
from dexexec_adapters.curves.damm_v2 import BY_TIMESTAMP, DammV2Pool, quote_exact_in, quote_exact_out, stretches
from dexexec_adapters.curves.swap import ChainTime, SwapResult, TradeDirection
from dexexec_adapters.meteora import layout
from dexexec_adapters.meteora.layout import PoolState
from dexexec_adapters.pools.options import CONFIGS_SETTING, PoolOptions
from dexexec_adapters.pools.search import Mints, PoolKeys
from dexexec_adapters.pools.venue import PoolVenue
from dexexec_adapters.solana.addresses import Addresses, address_bytes
from dexexec_adapters.solana.clusters import METEORA_DAMM_V2
from dexexec_adapters.solana.layout import owned

SWAP2 = bytes.fromhex("414b3f4ceb5b5b88")
SWAP_MODE = {Mode.EXACT_IN: 0, Mode.EXACT_OUT: 2}
"""The third mode of the program, 1, may fill only a part of the order, so it is not used."""
FAILURES: Mapping[int, VenueError] = {
    6000: NoRoute("the amounts are more than the pool can count"),
    6002: Slippage("the price moved past the order's bound"),
    6003: NoRoute("the pool is disabled, or not open yet"),
    6006: NoRoute("the amount is too small: an amount of the swap would be zero"),
    6015: NoRoute("the swap would leave the pool's price range"),
    2006: BadAnswer("an account is not the one that the program derives"),
}
"""Error numbers of the program's `error.rs` and of Anchor. Missing funds are left out (1, of the token programs; 3012,
no account): the engine has the balances, and reports them with token and amount."""


class MeteoraOptions(PoolOptions):
    """Settings of the venue."""

    configs_field = "configs"
    configs: Addresses = CONFIGS_SETTING


class Meteora(PoolVenue[PoolKeys, PoolState, DammV2Pool]):
    """Quotes and builds swaps, each with one DAMM v2 pool."""

    name = "meteora"
    Options = MeteoraOptions
    options_prefix = "DEXEXEC_METEORA_"
    kind = "DAMM v2"
    deployments = METEORA_DAMM_V2
    failures = FAILURES

    def vault_owner(self, pool: PoolKeys) -> str:
        """The address that the program derives for the vaults of all its pools."""
        return self._authority

    def filters(self, pair: Mints) -> Sequence[AccountFilters]:
        """Two searches, because a pool may have the pair in either order."""
        return [layout.pool_filters(*mints) for mints in (pair, pair[::-1])]

    def derived_pools(self, pair: Mints) -> Sequence[str]:
        """The pool without a config, and the pools from each config."""
        # The seed is sorted, whatever the order of the tokens in the pool.
        mints = sorted(pair, reverse=True)
        of_configs = (self.derived(b"pool", address_bytes(config), *mints) for config in self.configs)
        return [self.derived(b"cpool", *mints), *of_configs]

    def read_pool(self, address: str, account: Account | None) -> PoolState:
        """The pool, after checking owner, discriminator, size and numbers."""
        return layout.read_pool(address, account, self.program_id)

    def check_config(self, address: str, account: Account | None) -> None:
        """Check the owner. No field of a config is used."""
        owned("config", address, account, self.program_id)

    def accounts_of(self, pool: PoolKeys) -> Sequence[str]:
        """The mints, the pool and its vaults."""
        return [*pool.mints, pool.address, *pool.vaults]

    def swap_accounts(self) -> Sequence[str]:
        """The owner of the vaults, and the address by which the program reports its events."""
        return [self._authority, self._event_authority]

    def likely_accounts(self, pool: str, pair: Mints) -> Sequence[str]:
        """The vaults."""
        return [self.derived(b"token_vault", mint, address_bytes(pool)) for mint in pair]

    def curve(self, state: PoolState, held: tuple[int, int], accounts: Mapping[str, Account | None]) -> DammV2Pool:
        """The curve's state, which is completely in the pool account."""
        return state.curve

    def price(
        self, curve: DammV2Pool, request: SwapRequest, direction: TradeDirection, now: ChainTime
    ) -> SwapResult[DammV2Pool]:
        """The swap by `adapters/curves/damm_v2.py`."""
        price = quote_exact_in if request.mode is Mode.EXACT_IN else quote_exact_out
        return price(curve, request.amount, direction, now)

    def stretches(self, curve: DammV2Pool, direction: TradeDirection, now: ChainTime) -> Sequence[Stretch]:
        """One, of the same curve."""
        return stretches(curve, direction, now)

    def reserves(self, state: PoolState, held: tuple[int, int]) -> tuple[int, int]:
        """The reserves that the pool tracks. Its vaults also hold unclaimed fees."""
        return state.reserves

    def launched_at_ms(self, state: PoolState, now: ChainTime) -> int:
        """The pool's activation. A slot is converted by the slots of today, which are exact for new pools; an old one
        may count as newer than it is, and is old all the same."""
        point = state.curve.activation_point
        if state.curve.activation_type == BY_TIMESTAMP:
            return point * 1000
        return round((now.unix_timestamp - pace_of(self.chain).seconds(now.slot - point)) * 1000)

    def swap(self, pool: PoolKeys, quote: Quote, payer: str, accounts: tuple[str, str]) -> Instruction:
        """`swap2`."""
        # Vaults and mints are in the order A, B for both directions. The program derives the direction from the mint of
        # the account that pays.
        mode = quote.request.mode
        amounts = (quote.amount_in, quote.min_out) if mode is Mode.EXACT_IN else (quote.amount_out, quote.max_in)
        metas = (
            AccountMeta(self._authority),
            *(AccountMeta(address, writable=True) for address in (pool.address, *accounts, *pool.vaults)),
            *map(AccountMeta, pool.mints),
            AccountMeta(payer, signer=True),
            # The program's own address in place of the referral account means that there is no referral.
            *map(AccountMeta, (*pool.token_programs, self.program_id, self._event_authority, self.program_id)),
        )
        data = SWAP2 + b"".join(amount.to_bytes(8, "little") for amount in amounts) + bytes([SWAP_MODE[mode]])
        return Instruction(self.program_id, metas, data)

    @property
    def _authority(self) -> str:
        return self.derived(b"pool_authority")

    @property
    def _event_authority(self) -> str:
        return self.derived(b"__event_authority")
