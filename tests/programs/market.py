"""A market of real pools on a localnet: several of each venue for each of three pairs, all from one seed.

First come accounts that are simply there (`accounts`: what administrators made, and Meteora's pools, empty), then
transactions of a creator (`open_on`): it makes Raydium's pools and fills Meteora's vaults. All its tokens are the
faucet's, so that supplies are what is held.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from random import Random
from typing import NamedTuple

from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Processed
from solana.rpc.models import TxOpts
from solders.account import Account
from solders.compute_budget import set_compute_unit_limit
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.token import ID as TOKEN
from spl.token.instructions import transfer_checked
from spl.token.models import TransferCheckedParams

from dexexec.domain import base58
from dexexec.domain.token import WSOL, Token
from tests.programs import meteora_pools, raydium_pools
from tests.programs.raydium_pools import RATES, Rates
from tests.programs.tokens import TOKENS, WORTH, ata, key, token_account
from tests.support.localnet.in_process import rpc, sign
from tests.support.service import localnet

LEAST, MOST = 300_000, 3_000_000
"""USDC on each side of a pool."""
OFF = 3_000
"""Millionths by which a pool's price may differ: less than most fees, so that size decides which pool is best."""
UNITS = 10**6
PLENTY = 2**50
"""Base units of each token that the creator and a trader have."""


class Pool(NamedTuple):
    """A pool as it was made. Reserves and vaults are in the order of the mints, which is the program's."""

    venue: str
    kind: str
    address: str
    mints: tuple[str, str]
    vaults: tuple[str, str]
    reserves: tuple[int, int]

    def reserve(self, mint: str) -> int:
        """Of one of its mints, at the start."""
        return self.reserves[self.mints.index(mint)]


@dataclass(frozen=True, slots=True)
class _Making:
    """A pool that the program is yet to make; `signer` is its own key where it has one."""

    pool: Pool
    rates: Rates
    signer: Keypair | None


@dataclass
class GivenPools:
    """Pools that are there with all that they hold, and the accounts that belong to them."""

    pools: list[Pool] = field(default_factory=list)
    accounts: list[tuple[Pubkey, Account]] = field(default_factory=list)


class Market:
    """All pools. `now` is the chain's Unix time (s) when they are made. `only`: few pools, of one pair of mints. `more`
    are pools of other venues."""

    def __init__(self, seed: int, now: int, only: Sequence[str] = (), more: GivenPools | None = None) -> None:
        self._more = more or GivenPools()
        self._chance = Random(seed)
        self.creator = self._keypair()
        self._given: list[tuple[Pubkey, Account]] = []
        self._makings: list[_Making] = []
        self._meteora: list[Pool] = []
        kinds = list(meteora_pools.KINDS)
        for place, pair in enumerate(combinations(TOKENS, 2)):
            if only and {token.mint for token in pair} != set(only):
                continue
            full = place == 0 and not only
            for kind in kinds if full else self._chance.sample(kinds, 2 if only else 3):
                self._add_meteora(kind, pair, now)
            for rates in RATES if full else RATES[:1] if only else RATES[:2]:
                self._add_raydium(rates, pair, own=False)
            self._add_raydium(RATES[0], pair, own=True)

    @property
    def pools(self) -> list[Pool]:
        """Of all venues."""
        return [*(making.pool for making in self._makings), *self._meteora, *self._more.pools]

    @property
    def holders(self) -> list[str]:
        """Token accounts, and wallets, that hold all there is besides a trader's own."""
        creator = self.creator.pubkey()
        own = [str(creator), *(str(ata(creator, token.mint)) for token in TOKENS)]
        vaults = [vault for pool in self.pools for vault in pool.vaults]
        return [*own, *vaults, str(raydium_pools.CREATE_POOL_FEE)]

    @property
    def accounts(self) -> list[tuple[Pubkey, Account]]:
        """What is there from the start."""
        return [*raydium_pools.accounts(), *self._given, *self._more.accounts]

    async def open_on(self, url: str) -> None:
        """Make what is made by transactions, on a localnet that has `accounts`."""
        creator = self.creator.pubkey()
        await fund(url, creator)
        await rpc(url, "localnet_fund", str(creator), WSOL, 9, PLENTY)
        async with AsyncClient(url, commitment=Processed) as client:
            for pool in self._meteora:
                sides = zip(pool.mints, pool.vaults, pool.reserves, strict=True)
                steps = [
                    self._transfer(mint, vault, held + self._chance.randrange(10**6)) for mint, vault, held in sides
                ]
                await land(client, steps, self.creator)
            for making in self._makings:
                pool, signers = making.pool, (self.creator, *([making.signer] if making.signer else []))
                steps = [
                    set_compute_unit_limit(400_000),
                    raydium_pools.initialize(creator, key(pool.address), making.rates, pool.mints, pool.reserves),
                ]
                await land(client, steps, *signers)

    def _add_raydium(self, rates: Rates, pair: tuple[Token, Token], *, own: bool) -> None:
        mints = sorted_mints(pair)
        signer = self._keypair() if own else None
        address = signer.pubkey() if signer else raydium_pools.usual_address(rates, mints)
        kind = f"{'own key' if own else 'usual'}, trade fee {rates.trade}"
        vaults = raydium_pools.vaults(address, mints)
        pool = Pool("raydium", kind, str(address), mints, vaults, self._amounts(mints))
        self._makings.append(_Making(pool, rates, signer))

    def _add_meteora(self, kind: str, pair: tuple[Token, Token], now: int) -> None:
        """Token A and B may be either way round."""
        first, second = (token.mint for token in pair)
        mints = self._chance.choice([(first, second), (second, first)])
        address = self._keypair().pubkey()
        account, held = meteora_pools.pool(kind, address, mints, self._amounts(mints), now, self._chance)
        pool = Pool("meteora", kind, str(address), mints, meteora_pools.vaults(address, mints), held)
        self._meteora.append(pool)
        self._given.append((address, account))
        for mint, vault in zip(mints, pool.vaults, strict=True):
            self._given.append((key(vault), token_account(mint, meteora_pools.AUTHORITY)))

    def _amounts(self, mints: Sequence[str]) -> tuple[int, int]:
        dollars = self._chance.randint(LEAST, MOST) * UNITS
        off = UNITS + self._chance.randint(-OFF, OFF)
        return dollars * UNITS // WORTH[mints[0]], dollars * off // WORTH[mints[1]]

    def _transfer(self, mint: str, vault: str, amount: int) -> Instruction:
        token = TOKENS.get(mint)
        assert token is not None
        owner = self.creator.pubkey()
        return transfer_checked(
            TransferCheckedParams(
                program_id=TOKEN,
                source=ata(owner, mint),
                mint=key(mint),
                dest=key(vault),
                owner=owner,
                amount=amount,
                decimals=token.decimals,
            )
        )

    def _keypair(self) -> Keypair:
        return Keypair.from_seed(self._chance.randbytes(32))


async def fund(url: str, owner: Pubkey, lamports: int = PLENTY, tokens: int = PLENTY) -> None:
    """Give a wallet what it can trade with: lamports, and all tokens but wrapped SOL."""
    funds = {token.mint: (token.decimals, tokens) for token in TOKENS if token.mint != WSOL and tokens}
    await localnet.fund(url, str(owner), {"": (9, lamports), **funds})


async def land(client: AsyncClient, steps: Sequence[Instruction], *signers: Keypair) -> str:
    """Send a transaction, which must succeed and lands at once."""
    blockhash = (await client.get_latest_blockhash()).value.blockhash
    transaction = sign(steps, *signers, blockhash=blockhash)
    return str((await client.send_transaction(transaction, TxOpts(preflight_commitment=Processed))).value)


def sorted_mints(pair: Sequence[Token]) -> tuple[str, str]:
    """In the order of their bytes."""
    first, second = sorted((token.mint for token in pair), key=base58.decode)
    return first, second
