"""Accounts as a node shows them, and what it says of the market for block space, as plain values. Pure.

A shape that is not understood raises one of `shapes.UNREADABLE`.
"""

import base64
from typing import Any

from dexexec.domain.solana import Account, AccountFilters, Accounts, ProgramAccounts, TokenBalance
from dexexec.settlement.solana.rpc.decode_values import read_address, read_exactly, read_text, read_u64


def read_accounts(result: Any, count: int) -> Accounts:
    """`getMultipleAccounts` for so many addresses."""
    found = tuple(None if one is None else read_account(one) for one in result["value"])
    return Accounts(read_u64(result["context"]["slot"]), read_exactly(found, count))


def read_program_accounts(result: Any, program: str, filters: AccountFilters) -> ProgramAccounts:
    """`getProgramAccounts` with context. One that was not asked for makes the whole answer none."""
    found = {read_address(one["pubkey"]): read_account(one["account"]) for one in result["value"]}
    if not all(account.owner == program and filters.suits(account) for account in found.values()):
        raise ValueError("an account that was not asked for")
    return ProgramAccounts(read_u64(result["context"]["slot"]), found)


def read_account(value: Any) -> Account:
    """One account in the encoding `base64`."""
    data, encoding = value["data"]
    if encoding != "base64":
        raise ValueError("not in base64")
    return Account(read_text(value["owner"]), read_u64(value["lamports"]), base64.b64decode(data, validate=True))


def read_token_balances(result: Any, owner: str, program: str) -> list[TokenBalance]:
    """`getTokenAccountsByOwner` in the encoding `jsonParsed`. What the node itself cannot parse it shows as bytes:
    that is of a kind that nothing here trades, and left out."""
    found = []
    for one in result["value"]:
        account = one["account"]
        if account["owner"] != program:
            raise ValueError("an account of another program")
        if isinstance(account["data"], list):
            continue
        info = account["data"]["parsed"]["info"]
        if info["owner"] != owner:
            raise ValueError("an account of another owner")
        amount = info["tokenAmount"]
        decimals, units = read_u64(amount["decimals"]), read_u64(int(read_text(amount["amount"])))
        found.append(TokenBalance(read_address(one["pubkey"]), read_address(info["mint"]), units, decimals))
    return found


def read_priority_fees(result: Any) -> list[int]:
    """`getRecentPrioritizationFees`: of each slot, the oldest first."""
    fees = [(read_u64(one["slot"]), read_u64(one["prioritizationFee"])) for one in result]
    return [fee for _, fee in sorted(fees)]
