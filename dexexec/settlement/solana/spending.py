"""What a transaction that is about to be signed may take of the wallet: what the record reserves for it. Pure.

Of the token that is sold it is the order's max-in. Of lamports it is what leaves the wallet's own account before
anything can come back, or what a simulation left missing in the end if that is more: fees, rent, tips, SOL to wrap.
"""

from collections.abc import Awaitable, Callable, Mapping

from dexexec.domain.funds import LAMPORTS, Need, Spending
from dexexec.domain.solana import Account
from dexexec.domain.token import WSOL
from dexexec.settlement.solana.funds import WALLET_RENT, WalletFunds
from dexexec.settlement.solana.guard.effect_rules import held
from dexexec.settlement.solana.guard.message_rules import Proposal
from dexexec.settlement.solana.message import network_fee
from dexexec.settlement.solana.token_account import read_token_account

Reservations = Callable[[str, int], Awaitable[Mapping[str, int]]]
"""What open attempts may take of a wallet's balances of a slot, by mint."""
ReservationsByChain = Callable[[str, int, str], Awaitable[Mapping[str, int]]]
"""`Store.reserved`: the same, on the chain with a genesis hash."""


async def nothing_reserved(wallet: str, slot: int, genesis: str = "") -> Mapping[str, int]:
    """For a wallet that nobody else trades with."""
    return {}


def spending_of(
    proposal: Proposal, after: Mapping[str, Account | None], paid: int, funds: WalletFunds, slot: int
) -> Spending:
    """For a `proposal` that the guard let pass, of balances as of `slot`; `after` is what its simulation left, and
    `paid` the lamports of fee that this charged."""
    wallet, message, before = proposal.wallet, proposal.message, proposal.before
    there, left = (_lamports(accounts.get(wallet)) for accounts in (before, after))
    lamports = max(funds.certain(message), there - left + network_fee(message) - paid)
    needs = [Need(LAMPORTS, lamports, max(0, there - WALLET_RENT))]
    mint, most = proposal.quote.request.mint_in, proposal.quote.max_in
    if mint == WSOL:
        # What is wrapped on the way is among the lamports; only the rest can be taken of what was wrapped before.
        account = read_token_account(before.get(proposal.wrapped))
        wrapped = account.amount if account else 0
        needs.append(Need(WSOL, min(proposal.wrapped_allowance, wrapped), wrapped))
    else:
        needs.append(Need(mint, most, held(before, wallet, mint)))
    return Spending(wallet, slot, tuple(needs))


def _lamports(account: Account | None) -> int:
    return account.lamports if account else 0
