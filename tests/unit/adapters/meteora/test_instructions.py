"""A DAMM v2 swap is the instruction that the program expects, byte for byte, and SOL is wrapped within it."""

from hashlib import sha256

import pytest
from solders.hash import Hash
from solders.instruction import AccountMeta as SoldersMeta
from solders.instruction import Instruction as SoldersInstruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from dexexec.domain import base58
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.solana import AccountMeta, Instruction
from dexexec.domain.token import USDC, WSOL
from dexexec_adapters.meteora.venue import SWAP2
from dexexec_adapters.pools.search import PoolKeys
from dexexec_adapters.solana import spl
from dexexec_adapters.solana.keys import associated
from dexexec_adapters.solana.spl import TOKEN, TOKEN_2022
from tests.support.meteora_accounts import PROGRAM, chain_of, meteora
from tests.support.raydium_accounts import address
from tests.support.scripted import quote_of

PAYER, POOL, VAULT_A, VAULT_B, OTHER = (address(number) for number in (11, 12, 13, 14, 15))
KEYS = PoolKeys(address=POOL, mints=(WSOL, USDC), vaults=(VAULT_A, VAULT_B), token_programs=(TOKEN, TOKEN))


def steps(mint_in: str, mint_out: str, mode: Mode, pool: PoolKeys = KEYS) -> tuple[Quote, tuple[Instruction, ...]]:
    quote = quote_of(
        "meteora",
        SwapRequest(mint_in=mint_in, mint_out=mint_out, amount=1_000_000, mode=mode, slippage_bps=50),
        2_000_000,
    )
    return quote, tuple(meteora(chain_of()).steps(pool, quote, PAYER))


def the_swap(found: tuple[Instruction, ...]) -> Instruction:
    [swap] = [one for one in found if one.program == PROGRAM.address]
    return swap


def test_the_fixed_addresses_are_the_published_ones() -> None:
    assert PROGRAM.address == "cpamdpZCGKUy5JxQXB4dcpGPiikHawvSWAd6mEn1sGG"
    assert PROGRAM.pool_authority == "HLnpSz9h2S4hiLQ43rnSD9XkcUThA7B8hQMKmDaiTLcC"
    assert PROGRAM.event_authority == "3rmHSu74h1ZcmAisVcWerTCiRDQbUrBKmcwptYGjHfet"
    assert sha256(b"global:swap2").digest()[:8] == SWAP2


def test_a_pool_is_derived_from_its_tokens_in_any_order() -> None:
    one = base58.decode(WSOL)
    two = base58.decode(USDC)
    assert PROGRAM.customizable_pool(one, two) == PROGRAM.customizable_pool(two, one)
    of_config = PROGRAM.pool_of_config(OTHER, one, two)
    assert of_config == PROGRAM.pool_of_config(OTHER, two, one)
    assert len({of_config, PROGRAM.pool_of_config(POOL, one, two), PROGRAM.customizable_pool(one, two)}) == 3


def test_exact_in_has_the_input_and_the_minimum_output() -> None:
    quote, found = steps(USDC, WSOL, Mode.EXACT_IN)
    assert (quote.amount_in, quote.min_out) == (1_000_000, 1_990_000)
    expected = bytes.fromhex("414b3f4ceb5b5b88 40420f0000000000 705d1e0000000000 00")
    assert the_swap(found).data == expected


def test_exact_out_has_the_output_and_the_maximum_input() -> None:
    quote, found = steps(USDC, WSOL, Mode.EXACT_OUT)
    assert (quote.amount_out, quote.max_in) == (1_000_000, 2_010_000)
    expected = bytes.fromhex("414b3f4ceb5b5b88 40420f0000000000 90ab1e0000000000 02")
    assert the_swap(found).data == expected


@pytest.mark.parametrize(("mint_in", "mint_out"), [(WSOL, USDC), (USDC, WSOL)])
@pytest.mark.parametrize("mode", Mode)
def test_vaults_and_mints_are_in_the_pools_order_in_both_directions(mint_in: str, mint_out: str, mode: Mode) -> None:
    _, found = steps(mint_in, mint_out, mode)
    assert the_swap(found).accounts == (
        AccountMeta("HLnpSz9h2S4hiLQ43rnSD9XkcUThA7B8hQMKmDaiTLcC"),
        AccountMeta(POOL, writable=True),
        AccountMeta(associated(PAYER, mint_in), writable=True),
        AccountMeta(associated(PAYER, mint_out), writable=True),
        AccountMeta(VAULT_A, writable=True),
        AccountMeta(VAULT_B, writable=True),
        AccountMeta(WSOL),
        AccountMeta(USDC),
        AccountMeta(PAYER, signer=True),
        AccountMeta(TOKEN),
        AccountMeta(TOKEN),
        AccountMeta(PROGRAM.address),
        AccountMeta("3rmHSu74h1ZcmAisVcWerTCiRDQbUrBKmcwptYGjHfet"),
        AccountMeta(PROGRAM.address),
    )


@pytest.mark.parametrize("mode", Mode)
def test_paying_sol_wraps_the_maximum_input_and_unwraps_the_rest(mode: Mode) -> None:
    quote, found = steps(WSOL, USDC, mode)
    wrapped = associated(PAYER, WSOL)
    target = associated(PAYER, USDC)
    assert found == (
        spl.create_associated_idempotent(PAYER, wrapped, PAYER, WSOL),
        spl.transfer_lamports(PAYER, wrapped, quote.max_in),
        spl.sync_native(wrapped),
        spl.create_associated_idempotent(PAYER, target, PAYER, USDC),
        the_swap(found),
        spl.close_account(wrapped, PAYER, PAYER),
    )


def test_getting_sol_opens_the_wrapped_account_and_closes_it() -> None:
    _, found = steps(USDC, WSOL, Mode.EXACT_IN)
    wrapped = associated(PAYER, WSOL)
    assert found == (
        spl.create_associated_idempotent(PAYER, wrapped, PAYER, WSOL),
        the_swap(found),
        spl.close_account(wrapped, PAYER, PAYER),
    )


def test_other_tokens_are_neither_wrapped_nor_closed_and_each_has_its_own_token_program() -> None:
    pool = PoolKeys(address=POOL, mints=(OTHER, USDC), vaults=(VAULT_A, VAULT_B), token_programs=(TOKEN_2022, TOKEN))
    _, found = steps(USDC, OTHER, Mode.EXACT_IN, pool)
    target = associated(PAYER, OTHER, TOKEN_2022)
    assert target != associated(PAYER, OTHER)
    create, swap = found
    assert create == spl.create_associated_idempotent(PAYER, target, PAYER, OTHER, TOKEN_2022)
    assert [meta.address for meta in swap.accounts][2:4] == [associated(PAYER, USDC), target]
    assert [meta.address for meta in swap.accounts][9:11] == [TOKEN_2022, TOKEN]


@pytest.mark.parametrize(("mint_in", "mint_out"), [(WSOL, USDC), (USDC, WSOL)])
def test_the_whole_swap_fits_into_a_transaction_of_one_signature(mint_in: str, mint_out: str) -> None:
    """With room for compute budget, memo and a look at what else the engine adds: 200 bytes and more."""
    payer = Keypair()
    quote, _ = steps(mint_in, mint_out, Mode.EXACT_OUT)
    compiled = [
        SoldersInstruction(
            Pubkey.from_string(one.program),
            one.data,
            [SoldersMeta(Pubkey.from_string(meta.address), meta.signer, meta.writable) for meta in one.accounts],
        )
        for one in meteora(chain_of()).steps(KEYS, quote, str(payer.pubkey()))
    ]
    message = MessageV0.try_compile(payer.pubkey(), compiled, [], Hash.default())
    assert len(bytes(VersionedTransaction(message, [payer]))) <= 1_232 - 200
