"""Decodes executed and simulated transactions: what they moved, what they cost, and why they failed."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dexexec.domain import base58
from dexexec.domain.attempt_id import MEMO_PREFIX
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.network_cost import NetworkCost, split_fee
from dexexec.domain.solana import Simulation
from dexexec.domain.swap import ProgramFailure
from dexexec.domain.token import WSOL
from dexexec.settlement.solana.message import TOKEN_PROGRAMS, Program
from dexexec.settlement.solana.program_failures import INSUFFICIENT
from dexexec.settlement.solana.rpc.decode.accounts import read_account
from dexexec.settlement.solana.rpc.decode.failures import TransactionFailure, read_failure
from dexexec.settlement.solana.rpc.decode.values import read_exactly, read_text, read_u64

_TRANSFER = b"\x02\0\0\0"


@dataclass(frozen=True, slots=True)
class ExecutedTransaction:
    """A transaction on the chain: its fee in lamports, what it cost in all, and the balance changes of its payer or why
    it failed."""

    slot: int
    fee: int
    moved: Mapping[str, int]
    failure: TransactionFailure | None
    cost: NetworkCost


def read_transaction(result: Any, signature: str) -> ExecutedTransaction | None:
    """Decodes `getTransaction` with encoding `json`. None: the node does not have the transaction."""
    if result is None:
        return None
    meta = result["meta"]
    transaction = result["transaction"]
    if transaction["signatures"][0] != signature:
        raise ValueError("another transaction")
    keys = transaction["message"]["accountKeys"]
    programs = [keys[call["programIdIndex"]] for call in transaction["message"]["instructions"]]
    failure = None if meta["err"] is None else read_failure(meta["err"], programs, meta.get("logMessages") or ())
    if failure is not None and _is_of_another_wallet(failure.instruction, meta, transaction["message"]):
        # The vault of a venue lacks tokens, not our wallet: `insufficient-funds` would blame the wrong side.
        failure = replace(failure, code=FailureReason.PROGRAM_ERROR)
    moved = {} if failure else balance_changes(meta, keys[0])
    fee = read_u64(meta["fee"])
    cost = split_fee(fee, len(transaction["signatures"]))
    if failure is None:
        paid, returned = rent_changes(meta, keys[0])
        tip = tip_paid(meta, transaction["message"])
        cost = replace(cost, rent_paid=paid, rent_returned=returned, tip=tip)
        # It was paid to land, and is no part of what was swapped.
        moved = {**moved, WSOL: moved.get(WSOL, 0) + tip} if tip else moved
    return ExecutedTransaction(read_u64(result["slot"]), fee, moved, failure, cost)


def balance_changes(meta: Mapping[str, Any], wallet: str) -> dict[str, int]:
    """The change of each mint's balance for the wallet that pays, in base units.

    A token account counts by its owner. SOL is the sum of the lamports in the wallet and in all its token accounts,
    without the network fee: wrapping, unwrapping and rent for the wallet's own accounts change nothing.
    """
    before, after = (_token_accounts(meta[f"{when}TokenBalances"]) for when in ("pre", "post"))
    moved: defaultdict[str, int] = defaultdict(int)
    for sign, accounts in ((-1, before), (1, after)):
        for owner, mint, amount in accounts.values():
            if owner == wallet and mint != WSOL:
                moved[mint] += sign * amount
    moved[WSOL] = read_u64(meta["fee"])
    for index, (was, now) in enumerate(zip(meta["preBalances"], meta["postBalances"], strict=True)):
        # An account that this transaction opens or closes is listed on one side only. Its owner is the same on the
        # other side, so that rent which is paid or returned stays with the wallet.
        owned_before = before.get(index) or after.get(index)
        owned_after = after.get(index) or before.get(index)
        moved[WSOL] -= read_u64(was) if index == 0 or (owned_before and owned_before[0] == wallet) else 0
        moved[WSOL] += read_u64(now) if index == 0 or (owned_after and owned_after[0] == wallet) else 0
    return {mint: change for mint, change in moved.items() if change}


def tip_paid(meta: Mapping[str, Any], message: Mapping[str, Any]) -> int:
    """The lamports that the payer transferred to accounts of others, by instructions of the transaction itself.

    The guard signs such a transfer only as a tip, so no list of accounts is needed: it may have changed since. Without
    this service's memo a transaction never passed the guard, and has no tip.
    """
    keys = message["accountKeys"]
    memos = (call for call in message["instructions"] if keys[call["programIdIndex"]] == Program.MEMO)
    if not any(base58.decode(read_text(call["data"])).startswith(MEMO_PREFIX.encode()) for call in memos):
        return 0
    owned = {*_token_accounts(meta["preTokenBalances"]), *_token_accounts(meta["postTokenBalances"])}
    sent: defaultdict[int, int] = defaultdict(int)
    for call in message["instructions"]:
        accounts = call["accounts"]
        if keys[call["programIdIndex"]] != Program.SYSTEM or len(accounts) < 2 or accounts[0] != 0:
            continue
        data = base58.decode(read_text(call["data"]))
        # A token account gets SOL to wrap. The tip's account is none.
        if data[:4] == _TRANSFER and len(data) == 12 and accounts[1] not in owned:
            sent[read_u64(accounts[1])] += int.from_bytes(data[4:], "little")
    # An account for wrapped SOL that is opened and closed on the way is in no list, and has nothing in the end.
    return sum(
        min(lamports, max(0, read_u64(meta["postBalances"][index]) - read_u64(meta["preBalances"][index])))
        for index, lamports in sent.items()
        if index
    )


def rent_changes(meta: Mapping[str, Any], wallet: str) -> tuple[int, int]:
    """The lamports that the wallet's token accounts hold more, and less, than before, beside wrapped SOL: rent that was
    paid for accounts which were opened, and returned by those that were closed."""
    before, after = (_token_accounts(meta[f"{when}TokenBalances"]) for when in ("pre", "post"))
    paid = returned = 0
    for index, (was, now) in enumerate(zip(meta["preBalances"], meta["postBalances"], strict=True)):
        accounts = before.get(index), after.get(index)
        # The wallet's own account is no token account. One that changes hands takes its rent along.
        if not any(account is not None and account[0] == wallet for account in accounts):
            continue
        change = _rent(read_u64(now), accounts[1], wallet) - _rent(read_u64(was), accounts[0], wallet)
        paid += max(0, change)
        returned += max(0, -change)
    return paid, returned


def _rent(lamports: int, account: tuple[str, str, int] | None, wallet: str) -> int:
    """What an account holds beside wrapped SOL; nothing if it is not the wallet's or does not exist."""
    if account is None or account[0] != wallet:
        return 0
    return lamports - (account[2] if account[1] == WSOL else 0)


def read_simulation(result: Any, watched: Sequence[str], programs: Sequence[str]) -> Simulation:
    """Decodes `simulateTransaction` for the accounts `watched`."""
    value = result["value"]
    slot = read_u64(result["context"]["slot"])
    units = read_u64(value.get("unitsConsumed") or 0)
    logs = tuple(map(str, value.get("logs") or ()))
    if value["err"] is not None:
        # A failed transaction changes no account, so there is nothing to read from `accounts`.
        failure = read_failure(value["err"], programs, logs)
        return Simulation(slot=slot, units=units, error=failure.detail, failure=failure.instruction, logs=logs)
    accounts = read_exactly(tuple(value.get("accounts") or ()), len(watched))
    after = {
        # An account with no lamports no longer exists; some nodes still list it.
        address: None if account is None or not account["lamports"] else read_account(account)
        for address, account in zip(watched, accounts, strict=True)
    }
    return Simulation(slot=slot, units=units, logs=logs, after=after)


def _is_of_another_wallet(failure: ProgramFailure | None, meta: Mapping[str, Any], message: Mapping[str, Any]) -> bool:
    """Whether a top-level token instruction failed because an account of another wallet holds too little."""
    if failure is None or failure.custom != INSUFFICIENT or failure.program not in TOKEN_PROGRAMS:
        return False
    source = message["instructions"][failure.index]["accounts"][0]
    account = _token_accounts(meta["preTokenBalances"]).get(source)
    return account is not None and account[0] != message["accountKeys"][0]


def _token_accounts(balances: Any) -> dict[int, tuple[str, str, int]]:
    """Owner, mint and amount of each token account, by its index among the transaction's accounts."""
    return {
        read_u64(balance["accountIndex"]): (
            read_text(balance["owner"]),
            read_text(balance["mint"]),
            read_u64(int(balance["uiTokenAmount"]["amount"])),
        )
        for balance in balances or ()
    }
