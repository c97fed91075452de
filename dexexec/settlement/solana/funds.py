"""Checks whether a wallet can pay for a swap, and describes what it lacks. Part of sealing; pure.

Before a simulation only certain costs count: the spent token, where the order fixes its amount, and the lamports that
the transaction takes before any of its steps could pay the wallet. After a simulation that failed for lack of funds,
the most that the order may spend counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from dexexec.domain.quote import Mode, Quote
from dexexec.domain.rent import Rent
from dexexec.domain.solana import Account, Instruction
from dexexec.domain.token import WSOL, Token, Tokens, from_base_units
from dexexec.settlement.solana.guard.effect_rules import balance_of
from dexexec.settlement.solana.message import TOKEN_PROGRAMS, Message, Program, network_fee
from dexexec.settlement.solana.token_account import SIZE
from dexexec.venue import InsufficientFunds

_SYSTEM_TRANSFER = b"\x02\0\0\0"
_GIVES_NOTHING = {b"\x03", b"\x0c", b"\x11"}
"""Token instructions that cannot pay lamports to the wallet: Transfer, TransferChecked, SyncNative."""
_NO_TRANSFERS = frozenset({Program.COMPUTE_BUDGET, Program.MEMO, Program.MEMO_1})


@dataclass(frozen=True, slots=True)
class WalletFunds:
    """What the wallet at `address` holds: `accounts` are its own account and its token accounts, by address.
    `rent` is the cluster's."""

    address: str
    accounts: Mapping[str, Account | None]
    tokens: Tokens
    rent: Rent

    def shortage(self, quote: Quote, message: Message) -> InsufficientFunds | None:
        """Returns what the wallet certainly lacks to execute `message`, or None."""
        fee = network_fee(message)
        lamports = self.lamports()
        parts = {**self._certain(message), "for the network fee": fee}
        # The network takes its fee first, and the wallet must then keep its rent or exactly nothing. Lamports that come
        # back at the end, as from unwrapped SOL, are too late for that.
        if lamports >= sum(parts.values()) and lamports != fee:
            parts = {"for the network fee": fee, "to keep the wallet's account": self.rent.wallet}
        if lamports < sum(parts.values()):
            listed = ", ".join(f"{self._amount(WSOL, part)} {what}" for what, part in parts.items() if part)
            return self.lacks(WSOL, lamports, sum(parts.values()), listed)
        if quote.request.mode is Mode.EXACT_IN:
            return self.lacks_input(quote, quote.amount_in)
        return None

    def lacks_input(self, quote: Quote, needed: int) -> InsufficientFunds | None:
        """Returns the shortage if the wallet holds less than `needed` base units of the token that the order spends."""
        mint = quote.request.mint_in
        balance = balance_of(self.accounts, self.address, mint)
        return self.lacks(mint, balance, needed, "for the swap") if balance < needed else None

    def lacks_lamports(self, why: str) -> InsufficientFunds:
        """Returns a shortage of lamports whose amount the chain does not report."""
        balance = self._amount(WSOL, self.lamports())
        return InsufficientFunds(f"the wallet {abbreviate(self.address)} holds {balance}, which is not enough: {why}")

    def lacks(self, mint: str, balance: int, needed: int, why: str) -> InsufficientFunds:
        """Returns the shortage of a wallet that holds `balance` of the `needed` base units of `mint`."""
        wanted = self._amount(mint, needed) if self.tokens.get(mint) else str(needed)
        return InsufficientFunds(
            f"the wallet {abbreviate(self.address)} holds {self._amount(mint, balance)}, and {wanted} are needed: {why}"
        )

    def certain(self, message: Message) -> int:
        """Returns the lamports that the wallet pays before any step of `message` could pay it, including the network
        fee."""
        return network_fee(message) + sum(self._certain(message).values())

    def _certain(self, message: Message) -> dict[str, int]:
        """Returns the lamports that the wallet pays before any step could pay it, by purpose."""
        wrapped = rent = 0
        opened: set[str] = set()
        for instruction in message.instructions:
            accounts = [meta.address for meta in instruction.accounts]
            if instruction.program == Program.ASSOCIATED_TOKEN and len(accounts) > 1:
                if accounts[0] == self.address and accounts[1] not in opened and self._is_new(accounts[1]):
                    # One of Token-2022 may take more.
                    rent += self.rent.exempt(SIZE)
                    opened.add(accounts[1])
            elif _is_transfer(instruction) and len(accounts) > 1:
                if accounts[0] != self.address:
                    break
                wrapped += int.from_bytes(instruction.data[4:12], "little")
            elif _may_pay(instruction):
                # From here on the wallet may have received lamports: no later cost is certain to exceed its balance.
                break
        return {"to swap": wrapped, "as rent for new accounts": rent}

    def _is_new(self, address: str) -> bool:
        return address in self.accounts and self.accounts[address] is None

    def lamports(self) -> int:
        """Returns the balance of the wallet's own account."""
        account = self.accounts.get(self.address)
        return account.lamports if account else 0

    def _amount(self, mint: str, units: int) -> str:
        return amount_text(units, mint, self.tokens.get(mint))


def _is_transfer(instruction: Instruction) -> bool:
    return instruction.program == Program.SYSTEM and instruction.data[:4] == _SYSTEM_TRANSFER


def _may_pay(instruction: Instruction) -> bool:
    """Whether the instruction may pay lamports to the wallet."""
    if instruction.program in TOKEN_PROGRAMS:
        return instruction.data[:1] not in _GIVES_NOTHING
    return instruction.program not in _NO_TRANSFERS


def amount_text(units: int, mint: str, token: Token | None) -> str:
    """Formats an amount for people: `1.5 USDC`, or base units with the mint if the decimals are unknown."""
    return f"{from_base_units(units, token.decimals)} {token.symbol}" if token else f"{units} base units of {mint}"


def abbreviate(address: str) -> str:
    """Abbreviates an address to its first four letters."""
    return f"{address[:4]}…"
