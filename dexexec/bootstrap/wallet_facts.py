"""Reads the balances of a wallet for the metrics."""

from collections.abc import Sequence, Set
from typing import Protocol, runtime_checkable

from dexexec.domain.solana import Accounts, TokenBalance

LAMPORTS = "lamports"


@runtime_checkable
class MeasuredChain(Protocol):
    """A chain behind nodes, whose wallets have balances."""

    async def accounts(self, addresses: Sequence[str]) -> Accounts:
        """As `dexexec.venue.SolanaChain`."""

    async def token_accounts(self, owner: str) -> list[TokenBalance]:
        """As `dexexec.settlement.solana.rpc.chain.RpcChain`."""

    def node_lags(self) -> dict[str, int]:
        """As `dexexec.settlement.solana.rpc.chain.RpcChain`."""

    def budget_left(self) -> dict[str, float]:
        """As `dexexec.settlement.solana.rpc.chain.RpcChain`."""


async def read_balances(
    chain: MeasuredChain, network: str, wallet: str, mints: Set[str]
) -> dict[tuple[str, ...], float]:
    """The balances by network, wallet and mint. Raises `VenueError`."""
    # Only of `mints`: everybody can send a wallet tokens of other mints, and each would be a series of its own.
    [account] = (await chain.accounts([wallet])).found
    values: dict[tuple[str, ...], float] = {(network, wallet, LAMPORTS): account.lamports if account else 0}
    for mint in mints:
        values[network, wallet, mint] = 0
    for balance in await chain.token_accounts(wallet):
        if balance.mint in mints:
            values[network, wallet, balance.mint] += balance.amount
    return values
