"""Launches of pools by the real programs: Raydium's `initialize`, Meteora's `initialize_customizable_pool`."""

from collections.abc import Sequence
from struct import pack

from solana.rpc.async_api import AsyncClient
from solders.compute_budget import set_compute_unit_limit
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from dexexec.domain.token import WSOL, Token
from dexexec_adapters.curves.damm_v2 import (
    MAX_SQRT_PRICE,
    MIN_SQRT_PRICE,
    liquidity_from_b,
    sqrt_price_from_amounts,
)
from dexexec_adapters.solana.spl import SYSTEM, TOKEN, TOKEN_2022
from tests.programs import meteora_pools, raydium_pools
from tests.programs.market import land, sorted_mints
from tests.programs.tokens import ata, key
from tests.support.localnet.in_process import rpc

DECIMALS = 6
SOL_SIDE = 500 * 10**9
TOKEN_SIDE = 10**12
"""Reserves of a launched pool: 500 SOL and a million tokens."""
PLENTY = 2**50
INITIALIZE_CUSTOMIZABLE_POOL = bytes.fromhex("14a1f118bdddb402")
FEE_NUMERATOR = 2_500_000
"""A quarter of a percent, in parts of 10^9."""
BY_TIMESTAMP = 1
ONLY_B = 1


async def fund_creator(url: str, creator: Pubkey, mint: str) -> None:
    """Create a mint, and give the creator its tokens, lamports and wrapped SOL."""
    for token, decimals in (("", 9), (WSOL, 9), (mint, DECIMALS)):
        await rpc(url, "localnet_fund", str(creator), token, decimals, PLENTY)


async def launch_on_raydium(client: AsyncClient, creator: Keypair, mint: str) -> None:
    """Launch a pool of SOL and a mint. It opens in the next second."""
    owner = creator.pubkey()
    rates = raydium_pools.RATES[0]
    mints = sorted_mints((Token(WSOL, "SOL", 9), Token(mint, "NEW", DECIMALS)))
    pool = raydium_pools.usual_address(rates, mints)
    amounts = [SOL_SIDE if one == WSOL else TOKEN_SIDE for one in mints]
    steps = [set_compute_unit_limit(400_000), raydium_pools.initialize(owner, pool, rates, mints, amounts)]
    await land(client, steps, creator)


async def launch_on_meteora(client: AsyncClient, creator: Keypair, mint: str) -> None:
    """Launch a pool of a mint and SOL that is open at once."""
    position = Keypair()
    step = _customizable_pool(creator.pubkey(), position.pubkey(), (mint, WSOL), (TOKEN_SIDE, SOL_SIDE))
    await land(client, [set_compute_unit_limit(400_000), step], creator, position)


def _customizable_pool(owner: Pubkey, nft: Pubkey, mints: Sequence[str], amounts: tuple[int, int]) -> Instruction:
    def derived(*seeds: bytes) -> Pubkey:
        return Pubkey.find_program_address(list(seeds), meteora_pools.PROGRAM)[0]

    larger, smaller = sorted((bytes(key(mint)) for mint in mints), reverse=True)
    pool = derived(b"cpool", larger, smaller)
    price = sqrt_price_from_amounts(*amounts)
    liquidity = liquidity_from_b(amounts[1], price, MIN_SQRT_PRICE)
    base_fee = pack("<QHQQB", FEE_NUMERATOR, 0, 0, 0, 0)
    bounds = b"".join(bound.to_bytes(16, "little") for bound in (MIN_SQRT_PRICE, MAX_SQRT_PRICE))
    no_dynamic_fee, no_alpha_vault, now = b"\0", b"\0", b"\0"
    data = (
        INITIALIZE_CUSTOMIZABLE_POOL
        + base_fee
        + pack("<HB", 0, 0)
        + no_dynamic_fee
        + bounds
        + no_alpha_vault
        + liquidity.to_bytes(16, "little")
        + price.to_bytes(16, "little")
        + bytes([BY_TIMESTAMP, ONLY_B])
        + now
    )

    def meta(address: Pubkey, *, signer: bool = False, writable: bool = False) -> AccountMeta:
        return AccountMeta(address, is_signer=signer, is_writable=writable)

    vaults = [meta(key(vault), writable=True) for vault in meteora_pools.vaults(pool, mints)]
    metas = [
        meta(owner),
        meta(nft, signer=True, writable=True),
        meta(derived(b"position_nft_account", bytes(nft)), writable=True),
        meta(owner, signer=True, writable=True),
        meta(key(meteora_pools.AUTHORITY)),
        meta(pool, writable=True),
        meta(derived(b"position", bytes(nft)), writable=True),
        *(meta(key(mint)) for mint in mints),
        *vaults,
        *(meta(ata(owner, mint), writable=True) for mint in mints),
        *(meta(key(program)) for program in (TOKEN, TOKEN, TOKEN_2022, SYSTEM)),
        meta(derived(b"__event_authority")),
        meta(meteora_pools.PROGRAM),
    ]
    return Instruction(meteora_pools.PROGRAM, data, metas)
