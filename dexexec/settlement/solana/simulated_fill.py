"""What a simulated swap moves in the accounts of the wallet, as the fill of the transaction that would be signed. Pure.

It counts as `rpc.decode.transactions` does for a transaction on the chain: tokens by the owner of their account, and
SOL as the lamports of the wallet and of all its token accounts, without the network fee.
"""

from collections.abc import Mapping

from dexexec.domain.quote import Fill
from dexexec.domain.solana import Account, Simulation
from dexexec.domain.token import WSOL
from dexexec.settlement.solana.guard.message_rules import Proposal
from dexexec.settlement.solana.message import network_fee
from dexexec.settlement.solana.token_account import read_token_account


def simulated_fill(proposal: Proposal, simulation: Simulation, charged: int) -> Fill:
    """Returns the fill of `proposal`, which passed the guard. `charged` is the fee in the simulation, in lamports."""
    wallet = proposal.wallet
    before = proposal.before
    after = simulation.after
    request = proposal.quote.request

    def moved(mint: str) -> int:
        if mint == WSOL:
            return _lamports_moved(before, after, wallet) + charged
        return _tokens(after, wallet, mint) - _tokens(before, wallet, mint)

    # The fee of the message that would be sent: the simulated one had no priority fee yet.
    fee = network_fee(proposal.message)
    return Fill(-moved(request.mint_in), moved(request.mint_out), fee, simulation.slot)


def _tokens(accounts: Mapping[str, Account | None], wallet: str, mint: str) -> int:
    tokens = map(read_token_account, accounts.values())
    return sum(token.amount for token in tokens if token and (token.owner, token.mint) == (wallet, mint))


def _lamports_moved(before: Mapping[str, Account | None], after: Mapping[str, Account | None], wallet: str) -> int:
    # An account that is ours on one side only is one that the swap opens or closes. It counts on both sides, so that
    # rent that is paid or returned stays with the wallet.
    ours = {wallet, *_owned(before, wallet), *_owned(after, wallet)}
    return sum(_lamports(after.get(address)) - _lamports(before.get(address)) for address in ours)


def _owned(accounts: Mapping[str, Account | None], wallet: str) -> list[str]:
    found = ((address, read_token_account(account)) for address, account in accounts.items())
    return [address for address, token in found if token is not None and token.owner == wallet]


def _lamports(account: Account | None) -> int:
    return account.lamports if account else 0
