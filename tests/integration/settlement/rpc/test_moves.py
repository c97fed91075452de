"""`RpcChain` on real transactions: what they moved, what they would do, and the accounts they touch."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from spl.token import instructions as spl
from spl.token import models
from spl.token.constants import TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID

from dexexec.clock import SystemClock
from dexexec.domain.swap import Accepted, FailedOnChain, Landed, ProgramFailure
from dexexec.domain.token import USDC, WSOL
from dexexec.settlement.solana.rpc import Localnet
from dexexec.venue import BadAnswer, Faucet, SolanaChain, VenueError
from tests.support.localnet.in_process import SOL, InProcessLocalnet, pay, run_localnet
from tests.support.localnet.rpc_chains import RecordingListener, open_chain, sign_swap
from tests.support.localnet.spl_tokens import ata, make_mint, mint_tokens, open_account, token_transfer

NATIVE = Pubkey.from_string(WSOL)
FEE = 5_000
RENT = 2_039_280
"""Of a token account."""


@asynccontextmanager
async def funded_localnet(folder: Path) -> AsyncIterator[tuple[InProcessLocalnet, Localnet, Keypair]]:
    """A localnet, the chain over it, and a wallet with 10 SOL."""
    async with (
        run_localnet(folder) as net,
        open_chain(Localnet([net.url], SystemClock(), RecordingListener())) as chain,
    ):
        wallet = await net.funded()
        await net.advance(2)
        yield net, chain, wallet


async def settle(net: InProcessLocalnet, chain: Localnet, steps: Sequence[Instruction], *signers: Keypair) -> Landed:
    """Send it; it lands."""
    await net.advance(2)
    signed = sign_swap(steps, *signers, blockhash=await chain.blockhash())
    assert await chain.submit(signed) == Accepted()
    await net.advance(2)
    [status] = await chain.status([signed.signature])
    assert isinstance(status, Landed), status
    return status


def wrap(wallet: Keypair, lamports: int) -> list[Instruction]:
    account = ata(wallet.pubkey(), NATIVE)
    sync = spl.sync_native(models.SyncNativeParams(program_id=TOKEN_PROGRAM_ID, account=account))
    return [open_account(wallet, wallet.pubkey(), NATIVE), pay(wallet, account, lamports), sync]


def unwrap(wallet: Keypair) -> Instruction:
    account = ata(wallet.pubkey(), NATIVE)
    close = models.CloseAccountParams(
        program_id=TOKEN_PROGRAM_ID, account=account, dest=wallet.pubkey(), owner=wallet.pubkey()
    )
    return spl.close_account(close)


def give_wrapped(wallet: Keypair, to: Pubkey, lamports: int) -> Instruction:
    given = models.TransferParams(
        program_id=TOKEN_PROGRAM_ID,
        source=ata(wallet.pubkey(), NATIVE),
        dest=ata(to, NATIVE),
        owner=wallet.pubkey(),
        amount=lamports,
    )
    return spl.transfer(given)


def test_it_is_a_solana_chain_and_a_faucet() -> None:
    chain = Localnet(["http://127.0.0.1:1"], SystemClock(), RecordingListener())
    assert isinstance(chain, SolanaChain)
    assert isinstance(chain, Faucet)


@pytest.mark.parametrize("program", [TOKEN_PROGRAM_ID, TOKEN_2022_PROGRAM_ID], ids=["spl", "2022"])
async def test_a_transfer_of_tokens_moves_them_and_nothing_else(tmp_path: Path, program: Pubkey) -> None:
    async with funded_localnet(tmp_path) as (net, chain, wallet):
        friend, mint = Pubkey.new_unique(), await make_mint(net, wallet, program)
        await mint_tokens(net, wallet, mint, 1_500_000, program)
        await net.land([open_account(wallet, friend, mint, program)], wallet)
        landed = await settle(net, chain, [token_transfer(wallet, mint, friend, 250_000, program)], wallet)
        assert (landed.moved, landed.fee) == ({str(mint): -250_000}, FEE)


async def test_opening_an_account_of_its_own_moves_nothing_and_one_of_anothers_moves_its_rent(tmp_path: Path) -> None:
    async with funded_localnet(tmp_path) as (net, chain, wallet):
        friend, mint = Pubkey.new_unique(), await make_mint(net, wallet)
        landed = await settle(net, chain, [open_account(wallet, wallet.pubkey(), mint)], wallet)
        assert landed.moved == {}
        landed = await settle(net, chain, [open_account(wallet, friend, mint)], wallet)
        assert landed.moved == {WSOL: -RENT}


async def test_sol_that_is_wrapped_and_unwrapped_in_one_transaction_moves_nothing(tmp_path: Path) -> None:
    async with funded_localnet(tmp_path) as (net, chain, wallet):
        landed = await settle(net, chain, [*wrap(wallet, 3 * SOL), unwrap(wallet)], wallet)
        assert (landed.moved, landed.fee) == ({}, FEE)
        assert await net.balance(wallet.pubkey()) == 10 * SOL - FEE


async def test_wrapped_sol_that_is_spent_between_wrapping_and_unwrapping_is_what_moved(tmp_path: Path) -> None:
    async with funded_localnet(tmp_path) as (net, chain, wallet):
        friend = Pubkey.new_unique()
        await net.land([open_account(wallet, friend, NATIVE)], wallet)
        steps = [*wrap(wallet, 3 * SOL), give_wrapped(wallet, friend, 2 * SOL), unwrap(wallet)]
        landed = await settle(net, chain, steps, wallet)
        assert landed.moved == {WSOL: -2 * SOL}


async def test_sol_that_is_only_wrapped_moves_nothing(tmp_path: Path) -> None:
    async with funded_localnet(tmp_path) as (net, chain, wallet):
        assert (await settle(net, chain, wrap(wallet, SOL), wallet)).moved == {}
        assert (await settle(net, chain, [unwrap(wallet)], wallet)).moved == {}


async def test_both_sides_of_a_swap_with_another_signer_count_for_the_payer(tmp_path: Path) -> None:
    async with funded_localnet(tmp_path) as (net, chain, wallet):
        vault = await net.funded()
        await chain.fund(str(vault.pubkey()), USDC, 6, 10**9)
        await chain.fund(str(wallet.pubkey()), WSOL, 9, 2 * SOL)
        await chain.fund(str(vault.pubkey()), WSOL, 9, 1)
        mint = Pubkey.from_string(USDC)
        steps = [
            open_account(wallet, wallet.pubkey(), mint),
            give_wrapped(wallet, vault.pubkey(), SOL),
            token_transfer(vault, mint, wallet.pubkey(), 150_000_000, TOKEN_PROGRAM_ID),
        ]
        landed = await settle(net, chain, steps, wallet, vault)
        assert (landed.moved, landed.fee) == ({WSOL: -SOL, USDC: 150_000_000}, 2 * FEE)


async def test_a_swap_that_fails_on_chain_names_the_program_and_its_error(tmp_path: Path) -> None:
    async with funded_localnet(tmp_path) as (net, chain, wallet):
        friend, mint = Pubkey.new_unique(), await make_mint(net, wallet)
        await mint_tokens(net, wallet, mint, 5)
        await net.land([open_account(wallet, friend, mint)], wallet)
        await net.advance(2)
        steps = [pay(wallet, friend, SOL), token_transfer(wallet, mint, friend, 6, TOKEN_PROGRAM_ID)]
        signed = sign_swap(steps, wallet, blockhash=await chain.blockhash())
        simulated = await chain.simulate(signed.payload, [])
        assert await chain.submit(signed) == Accepted()
        await net.advance(2)
        [status] = await chain.status([signed.signature])
        assert isinstance(status, FailedOnChain)
        assert (status.code, status.fee) == ("insufficient-funds", FEE)
        tokens = str(TOKEN_PROGRAM_ID)
        assert status.failure == ProgramFailure(
            index=1, program=tokens, custom=1, text="custom program error: 0x1", origin=tokens
        )
        assert simulated.failure == status.failure


async def test_a_simulation_returns_units_and_the_accounts_afterwards_and_changes_nothing(tmp_path: Path) -> None:
    async with funded_localnet(tmp_path) as (net, chain, wallet):
        friend, stranger = Pubkey.new_unique(), Pubkey.new_unique()
        signed = sign_swap([pay(wallet, friend, SOL)], wallet, blockhash=await chain.blockhash())
        await net.advance(200)
        unsigned = signed.payload[:1] + bytes(64) + signed.payload[65:]
        found = await chain.simulate(unsigned, [str(friend), str(stranger)])
        assert (found.error, found.failure, found.units) == (None, None, 150), "neither signature nor blockhash matter"
        after = found.after[str(friend)]
        assert after is not None
        assert (after.lamports, after.data) == (SOL, b"")
        assert found.after[str(stranger)] is None
        assert await net.balance(friend) == 0


async def test_accounts_are_read_as_confirmed_in_the_order_of_the_request(tmp_path: Path) -> None:
    async with funded_localnet(tmp_path) as (net, chain, wallet):
        mint = await make_mint(net, wallet)
        asked = [str(mint), str(Pubkey.new_unique()), str(wallet.pubkey())]
        assert (await chain.accounts(asked)).found[0] is None, "it is processed only"
        await net.advance(2)
        found = await chain.accounts(asked)
        assert found.slot == await net.rpc("getSlot", {"commitment": "confirmed"})
        [mint_account, missing, wallet_account] = found.found
        assert mint_account is not None
        assert wallet_account is not None
        assert (mint_account.owner, len(mint_account.data), missing) == (str(TOKEN_PROGRAM_ID), 82, None)
        assert wallet_account.lamports == await net.balance(wallet.pubkey())
        with pytest.raises(BadAnswer, match="not a public key"):
            await chain.accounts(["nonsense"])


async def test_coins_are_given_once_for_any_number_of_requests(tmp_path: Path) -> None:
    async with funded_localnet(tmp_path) as (net, chain, _):
        owner = Pubkey.new_unique()
        for mint, decimals in ((USDC, 6), (WSOL, 9)):
            for _ in range(2):
                await chain.fund(str(owner), mint, decimals, 7_000)
            await net.advance(2)
            held = await net.client.get_token_account_balance(ata(owner, Pubkey.from_string(mint)))
            assert held.value.amount == "7000"
        for _ in range(2):
            await chain.fund(str(owner), "", 9, SOL)
        assert await net.balance(owner) == SOL
        with pytest.raises(VenueError, match="decimals"):
            await chain.fund(str(owner), USDC, 9, 8_000)
