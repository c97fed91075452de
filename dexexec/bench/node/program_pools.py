"""Pools of the venues' real programs on a localnet: Raydium's CPMM and Meteora's DAMM v2, from dumps of the programs.

The programs themselves create the pools. Only the accounts that an administrator of Raydium creates are written as
bytes: a config, and the account that receives the fee of a new pool.
"""

import base64
import json
from math import isqrt
from pathlib import Path
from struct import pack

from solders.account import Account
from solders.compute_budget import set_compute_unit_limit
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.token import ID as TOKEN
from solders.token.associated import get_associated_token_address
from solders.token.state import TokenAccount, TokenAccountState
from solders.transaction import VersionedTransaction

from dexexec.bench.node.localnet import Localnet
from dexexec.bench.processes import BenchError, ProcessGroup
from dexexec.domain.token import WSOL
from dexexec.settlement.solana.message import Program

CPMM = Pubkey.from_string("CPMMoo8L3F4NbTegBCKVNunggL7H1ZpdTHKxQB5qKP1C")
DAMM_V2 = Pubkey.from_string("cpamdpZCGKUy5JxQXB4dcpGPiikHawvSWAd6mEn1sGG")
CREATE_POOL_FEE = Pubkey.from_string("DNXgeM9EiiaAbaWvwjHj9fQQLAX5ZsfHyvmYUNRAdNC8")
"""Receives the fee of a new pool of CPMM: a constant of the program (raydium-cp-swap, `lib.rs`)."""
RENT = Pubkey.from_string("SysvarRent111111111111111111111111111111111")
INITIALIZE = bytes.fromhex("afaf6d1f0d989bed")
CONFIG = bytes.fromhex("daf42168cbcb2b6f")
CONFIG_BYTES = 236
INITIALIZE_CUSTOMIZABLE_POOL = bytes.fromhex("14a1f118bdddb402")
MIN_SQRT_PRICE = 4_295_048_016
MAX_SQRT_PRICE = 79_226_673_521_066_979_257_578_248_091
LAMPORTS = 10**7
SOL_SIDE = 2_000 * 10**9
TOKEN_SIDE = 300_000 * 10**6
"""Reserves of each pool: 2,000 SOL and 300,000 tokens with six decimals."""
PLENTY = 2**50
DECIMALS = 6
COMPUTE_UNITS = 400_000
OPENING_SECONDS = 30.0


def options(dumps: Path, folder: Path) -> list[str]:
    """The localnet's options that load the programs and the accounts. Raises `BenchError` if a dump is missing."""
    listed = []
    for program in (CPMM, DAMM_V2):
        path = (dumps / f"{program}.so").absolute()
        if not path.is_file():
            raise BenchError(f"DEXEXEC_PROGRAM_DUMPS has no {path.name}: get it with `solana program dump`")
        listed += ["--program", f"{program}={path}"]
    for address, account in ((_config(), _config_account()), (CREATE_POOL_FEE, _fee_account())):
        path = folder / f"{address}.json"
        path.write_text(json.dumps(account_document(account)))
        listed += ["--account", f"{address}={path}"]
    return listed


def account_document(account: Account) -> dict[str, object]:
    """An account as `solana account --output json` writes it."""
    fields = {
        "lamports": account.lamports,
        "data": [base64.b64encode(account.data).decode(), "base64"],
        "owner": str(account.owner),
        "executable": account.executable,
        "rentEpoch": account.rent_epoch,
    }
    return {"account": fields}


def open_pools(localnet: Localnet, processes: ProcessGroup, mints: list[str]) -> None:
    """Create a pool of SOL and each mint on both venues, and wait until all are open. Raises `BenchError`."""
    creator = Keypair()
    owner = creator.pubkey()
    localnet.fund(str(owner), "", 9, PLENTY)
    localnet.fund(str(owner), WSOL, 9, PLENTY)
    for mint in mints:
        localnet.fund(str(owner), mint, DECIMALS, PLENTY)
        position = Keypair()
        _land(localnet, _cpmm_pool(owner, mint), creator)
        _land(localnet, _damm_pool(owner, position.pubkey(), mint), creator, position)
    # By the chain's time, not this machine's: a localnet that was busy may be behind.
    made_at = _chain_time(localnet, "processed")
    # A pool of CPMM opens in the second after its creation.
    processes.wait(lambda: _chain_time(localnet, "finalized") > made_at + 1, OPENING_SECONDS, "the pools to open")


def _chain_time(localnet: Localnet, commitment: str) -> int:
    slot = localnet.call("getSlot", {"commitment": commitment})
    return int(localnet.call("getBlockTime", slot))


def _land(localnet: Localnet, step: Instruction, *signers: Keypair) -> None:
    latest = localnet.call("getLatestBlockhash", {"commitment": "confirmed"})
    blockhash = Hash.from_string(latest["value"]["blockhash"])
    steps = [set_compute_unit_limit(COMPUTE_UNITS), step]
    message = MessageV0.try_compile(signers[0].pubkey(), steps, [], blockhash)
    transaction = base64.b64encode(bytes(VersionedTransaction(message, list(signers)))).decode()
    localnet.call("sendTransaction", transaction, {"encoding": "base64", "preflightCommitment": "processed"})


def _key(address: str) -> Pubkey:
    return Pubkey.from_string(address)


def _ata(owner: Pubkey, mint: str) -> Pubkey:
    return get_associated_token_address(owner, _key(mint))


def _derived(program: Pubkey, *seeds: bytes) -> Pubkey:
    return Pubkey.find_program_address(list(seeds), program)[0]


def _meta(address: Pubkey, *, signer: bool = False, writable: bool = False) -> AccountMeta:
    return AccountMeta(address, is_signer=signer, is_writable=writable)


def _config() -> Pubkey:
    return _derived(CPMM, b"amm_config", (0).to_bytes(2, "big"))


def _config_account() -> Account:
    """Mainnet's usual config, as `states/config.rs` lays it out."""
    owner = bytes(Pubkey.new_unique())
    data = CONFIG + pack("<BBH4Q", 255, 0, 0, 2_500, 120_000, 40_000, 150_000_000) + owner + owner
    return Account(LAMPORTS, data.ljust(CONFIG_BYTES, b"\0"), CPMM)


def _fee_account() -> Account:
    state = TokenAccount(
        _key(WSOL), Pubkey.new_unique(), 0, None, TokenAccountState.Initialized, LAMPORTS, 0, None
    )  # fmt: skip
    return Account(LAMPORTS, bytes(state), TOKEN)


def _cpmm_pool(creator: Pubkey, mint: str) -> Instruction:
    """`initialize` of raydium-cp-swap, at the address that the config has for the pair."""
    mints = sorted((WSOL, mint), key=lambda one: bytes(_key(one)))
    amounts = [SOL_SIDE if one == WSOL else TOKEN_SIDE for one in mints]
    pool = _derived(CPMM, b"pool", bytes(_config()), *(bytes(_key(one)) for one in mints))
    shares = _derived(CPMM, b"pool_lp_mint", bytes(pool))
    vaults = [_derived(CPMM, b"pool_vault", bytes(pool), bytes(_key(one))) for one in mints]
    metas = [
        _meta(creator, signer=True, writable=True),
        _meta(_config()),
        _meta(_derived(CPMM, b"vault_and_lp_mint_auth_seed")),
        _meta(pool, writable=True),
        *(_meta(_key(one)) for one in mints),
        _meta(shares, writable=True),
        *(_meta(_ata(creator, one), writable=True) for one in (*mints, str(shares))),
        *(_meta(vault, writable=True) for vault in vaults),
        _meta(CREATE_POOL_FEE, writable=True),
        _meta(_derived(CPMM, b"observation", bytes(pool)), writable=True),
        *(_meta(TOKEN) for _ in range(3)),
        _meta(_key(Program.ASSOCIATED_TOKEN)),
        _meta(_key(Program.SYSTEM)),
        _meta(RENT),
    ]
    return Instruction(CPMM, INITIALIZE + pack("<3Q", *amounts, 0), metas)


def _damm_pool(owner: Pubkey, nft: Pubkey, mint: str) -> Instruction:
    """`initialize_customizable_pool` of damm-v2: the mint is token A, SOL is token B, and the pool is open at once."""
    mints = (mint, WSOL)
    larger, smaller = sorted((bytes(_key(one)) for one in mints), reverse=True)
    pool = _derived(DAMM_V2, b"cpool", larger, smaller)
    price = isqrt((SOL_SIDE << 128) // TOKEN_SIDE)
    liquidity = (SOL_SIDE << 128) // (price - MIN_SQRT_PRICE)
    # A quarter of a percent without a schedule, no dynamic fee, the whole range of prices, no vault that buys first,
    # activation by time, fees in token B, active from now on.
    data = (
        INITIALIZE_CUSTOMIZABLE_POOL
        + pack("<QHQQB", 2_500_000, 0, 0, 0, 0)
        + pack("<HBB", 0, 0, 0)
        + MIN_SQRT_PRICE.to_bytes(16, "little")
        + MAX_SQRT_PRICE.to_bytes(16, "little")
        + b"\0"
        + liquidity.to_bytes(16, "little")
        + price.to_bytes(16, "little")
        + bytes([1, 1, 0])
    )
    vaults = [_derived(DAMM_V2, b"token_vault", bytes(_key(one)), bytes(pool)) for one in mints]
    metas = [
        _meta(owner),
        _meta(nft, signer=True, writable=True),
        _meta(_derived(DAMM_V2, b"position_nft_account", bytes(nft)), writable=True),
        _meta(owner, signer=True, writable=True),
        _meta(_derived(DAMM_V2, b"pool_authority")),
        _meta(pool, writable=True),
        _meta(_derived(DAMM_V2, b"position", bytes(nft)), writable=True),
        *(_meta(_key(one)) for one in mints),
        *(_meta(vault, writable=True) for vault in vaults),
        *(_meta(_ata(owner, one), writable=True) for one in mints),
        _meta(TOKEN),
        _meta(TOKEN),
        _meta(_key(Program.TOKEN_2022)),
        _meta(_key(Program.SYSTEM)),
        _meta(_derived(DAMM_V2, b"__event_authority")),
        _meta(DAMM_V2),
    ]
    return Instruction(DAMM_V2, data, metas)
