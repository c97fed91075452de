"""Decodes accounts and token balances."""

import base64
from typing import Any

from dexexec.domain.solana import Account, AccountFilters, Accounts, ProgramAccounts, TokenBalance
from dexexec.settlement.solana.rpc.decode.values import read_address, read_exactly, read_text, read_u64


def read_accounts(result: Any, count: int) -> Accounts:
    """Decodes `getMultipleAccounts` for `count` addresses."""
    accounts = tuple(None if account is None else read_account(account) for account in result["value"])
    return Accounts(read_u64(result["context"]["slot"]), read_exactly(accounts, count))


def read_program_accounts(result: Any, program: str, filters: AccountFilters) -> ProgramAccounts:
    """Decodes `getProgramAccounts` with context. Rejects the whole answer if one account does not match."""
    accounts = {read_address(entry["pubkey"]): read_account(entry["account"]) for entry in result["value"]}
    # Some nodes ignore filters that they do not support. Their answer must not be taken for a search result.
    if not all(account.owner == program and filters.suits(account) for account in accounts.values()):
        raise ValueError("an account that does not match the filters")
    return ProgramAccounts(read_u64(result["context"]["slot"]), accounts)


def read_account(value: Any) -> Account:
    """Decodes one account with encoding `base64`."""
    data, encoding = value["data"]
    if encoding != "base64":
        raise ValueError("not in base64")
    return Account(read_text(value["owner"]), read_u64(value["lamports"]), base64.b64decode(data, validate=True))


def read_token_balances(result: Any, owner: str, program: str) -> list[TokenBalance]:
    """Decodes `getTokenAccountsByOwner` with encoding `jsonParsed`."""
    balances = []
    for entry in result["value"]:
        account = entry["account"]
        if account["owner"] != program:
            raise ValueError("an account of another program")
        # A node shows what it cannot parse as bytes. Nothing here trades such a token, so it is left out.
        if isinstance(account["data"], list):
            continue
        info = account["data"]["parsed"]["info"]
        if info["owner"] != owner:
            raise ValueError("an account of another owner")
        amount = info["tokenAmount"]
        decimals = read_u64(amount["decimals"])
        units = read_u64(int(read_text(amount["amount"])))
        balances.append(TokenBalance(read_address(entry["pubkey"]), read_address(info["mint"]), units, decimals))
    return balances
