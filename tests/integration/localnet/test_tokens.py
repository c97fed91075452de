"""The localnet's token programs, token accounts and filters, through solana-py's own instruction builders."""

from pathlib import Path
from typing import Any

import pytest
from solana.rpc.models import MemcmpOpts, TokenAccountOpts
from solders.pubkey import Pubkey
from spl.token import instructions as spl
from spl.token import models
from spl.token.constants import TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID

from tests.support.localnet.in_process import SOL, RpcRefusedError, pay, run_localnet
from tests.support.localnet.spl_tokens import MINT_SIZE, ata, make_mint, mint_tokens, open_account, token_transfer

WSOL = Pubkey.from_string("So11111111111111111111111111111111111111112")
PROGRAMS = pytest.mark.parametrize("program", [TOKEN_PROGRAM_ID, TOKEN_2022_PROGRAM_ID], ids=["spl", "2022"])


@PROGRAMS
async def test_tokens_are_minted_moved_and_listed_in_the_transaction(tmp_path: Path, program: Pubkey) -> None:
    async with run_localnet(tmp_path) as net:
        wallet, friend = await net.funded(), Pubkey.new_unique()
        mint = await make_mint(net, wallet, program)
        await mint_tokens(net, wallet, mint, 1_500_000, program)
        steps = [open_account(wallet, friend, mint, program), token_transfer(wallet, mint, friend, 250_000, program)]
        signature = await net.land(steps, wallet)
        held = [
            (await net.client.get_token_account_balance(ata(owner, mint, program))).value
            for owner in (wallet.pubkey(), friend)
        ]
        assert [(one.amount, one.ui_amount_string, one.decimals) for one in held] == [
            ("1250000", "1.25", 6),
            ("250000", "0.25", 6),
        ]
        assert (await net.client.get_token_supply(mint)).value.amount == "1500000"
        await net.advance(2)
        options = {"commitment": "confirmed", "maxSupportedTransactionVersion": 0}
        meta = (await net.rpc("getTransaction", str(signature), options))["meta"]
        before, after = (changes(meta[f"{when}TokenBalances"]) for when in ("pre", "post"))
        assert before == {str(wallet.pubkey()): "1500000"}
        assert after == {str(wallet.pubkey()): "1250000", str(friend): "250000"}
        inner = [call for one in meta["innerInstructions"] for call in one["instructions"]]
        assert len(inner) >= 3, "the associated token program calls others"
        assert {call["stackHeight"] for call in inner} == {2}


def changes(balances: list[dict[str, Any]]) -> dict[str, str]:
    """Owner -> amount."""
    return {one["owner"]: one["uiTokenAmount"]["amount"] for one in balances}


async def test_sol_is_wrapped_and_unwrapped_through_the_native_mint(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded(10 * SOL)
        account = ata(wallet.pubkey(), WSOL)
        sync = spl.sync_native(models.SyncNativeParams(program_id=TOKEN_PROGRAM_ID, account=account))
        await net.land(
            [open_account(wallet, wallet.pubkey(), WSOL), pay(wallet, account, 3 * SOL), sync],
            wallet,
        )
        assert (await net.client.get_token_account_balance(account)).value.ui_amount_string == "3"
        shown = (await net.rpc("getAccountInfo", str(account), {"encoding": "jsonParsed", "commitment": "processed"}))[
            "value"
        ]
        info = shown["data"]["parsed"]["info"]
        assert (info["isNative"], info["tokenAmount"]["amount"]) == (True, str(3 * SOL))
        assert int(info["rentExemptReserve"]["amount"]) + 3 * SOL == shown["lamports"]
        close = models.CloseAccountParams(
            program_id=TOKEN_PROGRAM_ID, account=account, dest=wallet.pubkey(), owner=wallet.pubkey()
        )
        await net.land([spl.close_account(close)], wallet)
        assert await net.balance(wallet.pubkey()) == 10 * SOL - 2 * 5_000
        assert (await net.client.get_account_info(account)).value is None


@PROGRAMS
async def test_token_accounts_are_found_by_their_owner(tmp_path: Path, program: Pubkey) -> None:
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded()
        mints = [await make_mint(net, wallet, program) for _ in range(2)]
        for mint in mints:
            await mint_tokens(net, wallet, mint, 7, program)
        owner = wallet.pubkey()
        by_mint = await net.client.get_token_accounts_by_owner(owner, TokenAccountOpts(mint=mints[0]))
        assert [one.pubkey for one in by_mint.value] == [ata(owner, mints[0], program)]
        options = TokenAccountOpts(program_id=program)
        by_program = await net.client.get_token_accounts_by_owner_json_parsed(owner, options)
        assert {one.pubkey for one in by_program.value} == {ata(owner, mint, program) for mint in mints}
        parsed: list[Any] = [one.account.data.parsed["info"] for one in by_program.value]
        assert {one["mint"] for one in parsed} == {str(mint) for mint in mints}
        assert {(one["owner"], one["state"], one["isNative"]) for one in parsed} == {(str(owner), "initialized", False)}
        assert (await net.client.get_token_accounts_by_owner(Pubkey.new_unique(), options)).value == []


async def test_a_programs_accounts_are_filtered_by_size_and_content(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet, friend = await net.funded(), Pubkey.new_unique()
        mint = await make_mint(net, wallet)
        await mint_tokens(net, wallet, mint, 7)
        await net.land([open_account(wallet, friend, mint)], wallet)
        ours = [165, MemcmpOpts(offset=0, bytes=str(mint))]

        async def find(*filters: Any) -> set[Pubkey]:
            found = await net.client.get_program_accounts(TOKEN_PROGRAM_ID, encoding="base64", filters=filters)
            return {one.pubkey for one in found.value}

        assert await find(*ours) == {ata(wallet.pubkey(), mint), ata(friend, mint)}
        assert await find(*ours, MemcmpOpts(offset=32, bytes=str(friend))) == {ata(friend, mint)}
        assert await find(MINT_SIZE) == {mint, WSOL}
        query = {"encoding": "base64", "dataSlice": {"offset": 64, "length": 8}, "withContext": True}
        query |= {"filters": [{"memcmp": {"offset": 32, "bytes": str(wallet.pubkey())}}], "commitment": "processed"}
        [found] = (await net.rpc("getProgramAccounts", str(TOKEN_PROGRAM_ID), query))["value"]
        assert found["account"]["data"] == ["BwAAAAAAAAA=", "base64"], "its amount: 7, little-endian"
        assert (await net.rpc("getProgramAccounts", str(TOKEN_PROGRAM_ID), query | {"commitment": "finalized"}))[
            "value"
        ] == []


async def test_a_mint_and_many_accounts_are_shown_parsed(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        wallet = await net.funded()
        mint = await make_mint(net, wallet)
        options = {"encoding": "jsonParsed", "commitment": "processed"}
        found = (
            await net.rpc("getMultipleAccounts", [str(mint), str(Pubkey.new_unique()), str(wallet.pubkey())], options)
        )["value"]
        assert found[0]["data"]["program"] == "spl-token"
        assert found[0]["data"]["parsed"] == {
            "type": "mint",
            "info": {
                "decimals": 6,
                "freezeAuthority": None,
                "isInitialized": True,
                "mintAuthority": str(wallet.pubkey()),
                "supply": "0",
            },
        }
        assert found[1] is None
        assert found[2]["data"] == ["", "base64"], "what has no parser comes in base64"
        with pytest.raises(RpcRefusedError, match="not a token account"):
            await net.rpc("getTokenAccountBalance", str(wallet.pubkey()))
