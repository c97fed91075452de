"""Computes what a transaction may take from the wallet, which the record reserves for it. Pure.

Of the sold token it is the order's max-in. Of lamports it is what leaves the wallet before anything can come back, or
what the simulation shows as missing at the end, if that is more: fees, rent, tips, SOL to wrap.
"""

from collections.abc import Awaitable, Callable, Mapping

from dexexec.domain.funds import LAMPORTS, Need, Spending
from dexexec.domain.solana import Account
from dexexec.domain.token import WSOL
from dexexec.settlement.solana.funds import WalletFunds
from dexexec.settlement.solana.guard.effect_rules import balance_of
from dexexec.settlement.solana.guard.message_rules import Proposal
from dexexec.settlement.solana.token_account import read_token_account

Reservations = Callable[[str, int], Awaitable[Mapping[str, int]]]
"""Returns what open attempts may take from a wallet's balances as of a slot, by mint."""
ReservationsByChain = Callable[[str, int, str], Awaitable[Mapping[str, int]]]
"""`Store.reserved`: the same, on the chain with a genesis hash."""


async def nothing_reserved(wallet: str, slot: int, genesis: str = "") -> Mapping[str, int]:
    """Returns no reservations: for a wallet without other orders."""
    return {}


def reservations_on(reserved: ReservationsByChain, genesis: str) -> Reservations:
    """Returns the reservations on one chain only, by its genesis hash: a wallet may have its address on two."""

    async def on_chain(wallet: str, slot: int) -> Mapping[str, int]:
        return await reserved(wallet, slot, genesis)

    return on_chain


def spending_of(
    proposal: Proposal, after: Mapping[str, Account | None], paid: int, funds: WalletFunds, slot: int
) -> Spending:
    """Returns the spending of a `proposal` that passed the guard, with balances as of `slot`. `after` are the accounts
    after the simulation, and `paid` is the fee that it charged, in lamports."""
    wallet = proposal.wallet
    message = proposal.message
    before = proposal.before
    balance = _lamports(before.get(wallet))
    # The simulated transaction had no priority fee yet, so the difference is added.
    missing = balance - _lamports(after.get(wallet)) + proposal.charge - paid
    lamports = max(funds.certain(message), missing)
    needs = [Need(LAMPORTS, lamports, max(0, balance - funds.rent.wallet))]
    mint = proposal.quote.request.mint_in
    most = proposal.quote.max_in
    if mint == WSOL:
        # What the transaction wraps on the way is part of the lamports. Only the rest comes from existing wrapped SOL.
        account = read_token_account(before.get(proposal.wrapped))
        wrapped = account.amount if account else 0
        needs.append(Need(WSOL, min(proposal.wrapped_allowance, wrapped), wrapped))
    else:
        needs.append(Need(mint, most, balance_of(before, wallet, mint)))
    return Spending(wallet, slot, tuple(needs))


def _lamports(account: Account | None) -> int:
    return account.lamports if account else 0
