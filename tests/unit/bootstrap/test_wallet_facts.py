"""The balances of a wallet, as the metrics show them."""

from collections.abc import Sequence

from dexexec.bootstrap.wallet_facts import MeasuredChain, read_balances
from dexexec.domain.solana import Account, Accounts, TokenBalance


class ChainOfOneWallet:
    """A chain that knows one wallet."""

    async def accounts(self, addresses: Sequence[str]) -> Accounts:
        return Accounts(7, tuple(Account(lamports=5, owner="system", data=b"") for _ in addresses))

    async def token_accounts(self, owner: str) -> list[TokenBalance]:
        amounts = {"a": ("usdc", 30), "b": ("usdc", 4), "c": ("spam", 1_000)}
        return [TokenBalance(address, mint, amount, 6) for address, (mint, amount) in amounts.items()]

    def node_lags(self) -> dict[str, int]:
        return {}

    def budget_left(self) -> dict[str, float]:
        return {}


async def test_balances_are_of_configured_tokens_only_and_zero_where_there_is_none() -> None:
    chain = ChainOfOneWallet()
    assert isinstance(chain, MeasuredChain)
    found = await read_balances(chain, "solana", "wallet", {"usdc", "wsol"})
    assert found == {
        ("solana", "wallet", "lamports"): 5,
        ("solana", "wallet", "usdc"): 34,
        ("solana", "wallet", "wsol"): 0,
    }
