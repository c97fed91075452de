"""`localnet_fund`: the faucet raises a balance to an amount of any token, and repeated calls change nothing."""

from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from spl.token import instructions as spl
from spl.token import models
from spl.token.constants import TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID

from dexexec.domain.token import USDC, WSOL
from tests.support.localnet.in_process import SOL, InProcessLocalnet, RpcRefusedError, pay, run_localnet
from tests.support.localnet.spl_tokens import make_mint

PROCESSED = {"commitment": "processed"}


async def token_balance_of(net: InProcessLocalnet, owner: Pubkey, mint: str) -> int:
    """What the owner's associated token account holds."""
    account = spl.get_associated_token_address(owner, Pubkey.from_string(mint))
    return int((await net.client.get_token_account_balance(account)).value.amount)


async def mint_info(net: InProcessLocalnet, mint: str) -> dict[str, Any]:
    shown = await net.rpc("getAccountInfo", mint, PROCESSED | {"encoding": "jsonParsed"})
    info: dict[str, Any] = shown["value"]["data"]["parsed"]["info"]
    return info


async def test_a_missing_token_is_created_by_funding_and_its_supply_is_what_is_held(tmp_path: Path) -> None:
    async with run_localnet(tmp_path, allow_faults=False) as net:
        owner = Pubkey.new_unique()
        signature = await net.rpc("localnet_fund", str(owner), USDC, 6, 1_500_000)
        assert await token_balance_of(net, owner, USDC) == 1_500_000
        info = await mint_info(net, USDC)
        assert (info["decimals"], info["supply"], info["freezeAuthority"]) == (6, "1500000", None)
        status = (await net.rpc("getSignatureStatuses", [signature]))["value"][0]
        assert (status["err"], status["confirmations"]) == (None, 0), "it landed at once, as a transaction"


async def test_it_is_given_once_and_only_what_is_missing(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        owner = Pubkey.new_unique()
        for mint, decimals in ((USDC, 6), (WSOL, 9), ("", 9)):
            signatures = [await net.rpc("localnet_fund", str(owner), mint, decimals, n * SOL) for n in (3, 3, 2, 5, 0)]
            assert [signature is None for signature in signatures] == [False, True, True, False, True]
        assert [await token_balance_of(net, owner, mint) for mint in (USDC, WSOL)] == [5 * SOL, 5 * SOL]
        assert await net.balance(owner) == 5 * SOL
        assert (await mint_info(net, USDC))["supply"] == str(5 * SOL)


async def test_wrapped_sol_is_real_lamports_in_the_account(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        owner = Pubkey.new_unique()
        await net.rpc("localnet_fund", str(owner), WSOL, 9, 7 * SOL)
        account = spl.get_associated_token_address(owner, Pubkey.from_string(WSOL))
        rent = await net.rpc("getMinimumBalanceForRentExemption", 165)
        assert await net.balance(account) == 7 * SOL + rent


async def test_what_was_given_is_still_there_after_a_restart_and_is_not_given_again(tmp_path: Path) -> None:
    owner = Pubkey.new_unique()
    async with run_localnet(tmp_path) as net:
        await net.rpc("localnet_fund", str(owner), USDC, 6, 42)
    async with run_localnet(tmp_path) as net:
        assert await net.rpc("localnet_fund", str(owner), USDC, 6, 42) is None
        assert await token_balance_of(net, owner, USDC) == 42
        await net.rpc("localnet_fund", str(owner), USDC, 6, 43)
        assert await token_balance_of(net, owner, USDC) == 43


async def test_a_fork_takes_back_what_was_given_and_it_can_be_given_again(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        owner = Pubkey.new_unique()
        await net.advance(1)
        signature = await net.rpc("localnet_fund", str(owner), USDC, 6, 42)
        assert signature in (await net.rpc("localnet_fork", 1))["unconfirmed"]
        await net.rpc("localnet_fund", str(owner), USDC, 6, 42)
        assert await token_balance_of(net, owner, USDC) == 42
        assert (await mint_info(net, USDC))["supply"] == "42"


async def test_mints_that_are_not_the_faucets_are_refused(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded()
        own, newer = await make_mint(net, wallet), await make_mint(net, wallet, TOKEN_2022_PROGRAM_ID)
        await net.land([pay(wallet, other_account := Pubkey.new_unique(), SOL)], wallet)
        for mint, why in (
            (own, "not one of the faucet's"),
            (newer, "is not a mint of the SPL Token program"),
            (other_account, "is not a mint of the SPL Token program"),
        ):
            with pytest.raises(RpcRefusedError, match=why):
                await net.rpc("localnet_fund", str(wallet.pubkey()), str(mint), 6, 5)


async def test_another_number_of_decimals_than_the_mint_has_is_refused(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        owner = str(Pubkey.new_unique())
        await net.rpc("localnet_fund", owner, USDC, 6, 1)
        for mint, wrong, right in ((USDC, 9, 6), (WSOL, 6, 9)):
            with pytest.raises(RpcRefusedError, match=f"{right} decimals, not {wrong}"):
                await net.rpc("localnet_fund", owner, mint, wrong, 5)


async def test_more_than_a_mint_can_ever_have_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        rich, poor = Pubkey.new_unique(), Pubkey.new_unique()
        await net.rpc("localnet_fund", str(rich), USDC, 6, 2**64 - 1)
        with pytest.raises(RpcRefusedError, match="funding failed"):
            await net.rpc("localnet_fund", str(poor), USDC, 6, 1)
        assert (await mint_info(net, USDC))["supply"] == str(2**64 - 1)


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ([], "owner must be a string"),
        (["x", "", 9, 1], "owner: 'x' is not a public key"),
        ([WSOL], "mint must be a string"),
        ([WSOL, "x", 9, 1], "mint: 'x' is not a public key"),
        ([WSOL, "", 256, 1], "decimals must be an integer from 0 to 255"),
        ([WSOL, "", 9, 1.5], "amount must be an integer"),
        ([WSOL, "", 9, 2**64], "amount must be an integer"),
    ],
)
async def test_a_bad_parameter_is_named(tmp_path: Path, params: list[Any], problem: str) -> None:
    async with run_localnet(tmp_path) as net:
        with pytest.raises(RpcRefusedError, match=problem) as refused:
            await net.rpc("localnet_fund", *params)
        assert refused.value.code == -32602


async def test_funded_tokens_can_be_spent(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet, friend = await net.funded(), Keypair().pubkey()
        mint = Pubkey.from_string(USDC)
        await net.rpc("localnet_fund", str(wallet.pubkey()), USDC, 6, 100)
        await net.rpc("localnet_fund", str(friend), USDC, 6, 1)
        accounts = [spl.get_associated_token_address(owner, mint) for owner in (wallet.pubkey(), friend)]
        move = models.TransferCheckedParams(
            program_id=TOKEN_PROGRAM_ID,
            source=accounts[0],
            mint=mint,
            dest=accounts[1],
            owner=wallet.pubkey(),
            amount=40,
            decimals=6,
        )
        await net.land([spl.transfer_checked(move)], wallet)
        assert [await token_balance_of(net, owner, USDC) for owner in (wallet.pubkey(), friend)] == [60, 41]
