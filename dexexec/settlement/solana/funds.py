"""Whether a wallet can pay for a swap at all, told by name and amount. Part of sealing; pure.

Before a simulation only what is certain counts: the token that is spent, where the order fixes how much of it, and the
lamports that the transaction takes from the wallet before any of its steps could give it some. The network takes its
fee first of all, so what comes back at the end, as of unwrapped SOL, does not help. After a simulation that failed for
want of funds, what the order allows counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from dexexec.domain.quote import Mode, Quote
from dexexec.domain.solana import Account, Instruction
from dexexec.domain.token import WSOL, Token, Tokens, from_base_units
from dexexec.settlement.solana.guard.effect_rules import held
from dexexec.settlement.solana.message import TOKEN_PROGRAMS, Message, Program, network_fee
from dexexec.settlement.solana.token_account import RENT_OVERHEAD, RENT_PER_BYTE, SIZE
from dexexec.venue import InsufficientFunds

TOKEN_ACCOUNT_RENT = (RENT_OVERHEAD + SIZE) * RENT_PER_BYTE
"""Lamports that a new token account takes, and gives back when it is closed. One of Token 2022 may take more."""
WALLET_RENT = RENT_OVERHEAD * RENT_PER_BYTE
"""Lamports that a wallet must keep, unless it keeps none."""
_SYSTEM_TRANSFER = b"\x02\0\0\0"
_GIVES_NOTHING = {b"\x03", b"\x0c", b"\x11"}
"""Token instructions that bring the wallet no lamports: Transfer, TransferChecked, SyncNative."""
_BYSTANDERS = frozenset({Program.COMPUTE_BUDGET, Program.MEMO, Program.MEMO_1})


@dataclass(frozen=True, slots=True)
class WalletFunds:
    """The wallet at `address` as `accounts` show it: its own account and its token accounts, by their addresses."""

    address: str
    accounts: Mapping[str, Account | None]
    tokens: Tokens

    def shortage(self, quote: Quote, message: Message) -> InsufficientFunds | None:
        """What the wallet lacks for certain to execute `message`, or None."""
        fee, lamports = network_fee(message), self.lamports()
        parts = {**self._certain(message), "for the network fee": fee}
        if lamports >= sum(parts.values()) and lamports != fee:
            parts = {"for the network fee": fee, "to keep the wallet's account": WALLET_RENT}
        if lamports < sum(parts.values()):
            listed = ", ".join(f"{self._amount(WSOL, part)} {what}" for what, part in parts.items() if part)
            return self.lacks(WSOL, lamports, sum(parts.values()), listed)
        if quote.request.mode is Mode.EXACT_IN:
            return self.lacks_input(quote, quote.amount_in)
        return None

    def lacks_input(self, quote: Quote, needed: int) -> InsufficientFunds | None:
        """Whether the wallet holds less than `needed` base units of what the order spends."""
        mint = quote.request.mint_in
        there = held(self.accounts, self.address, mint)
        return self.lacks(mint, there, needed, "for the swap") if there < needed else None

    def lacks_lamports(self, why: str) -> InsufficientFunds:
        """The chain says so, and not how much."""
        return InsufficientFunds(
            f"the wallet {short(self.address)} holds {self._amount(WSOL, self.lamports())}, which is not enough: {why}"
        )

    def lacks(self, mint: str, there: int, needed: int, why: str) -> InsufficientFunds:
        """`there` of the `needed` base units of `mint`."""
        wanted = self._amount(mint, needed) if self.tokens.get(mint) else str(needed)
        return InsufficientFunds(
            f"the wallet {short(self.address)} holds {self._amount(mint, there)}, and {wanted} are needed: {why}"
        )

    def certain(self, message: Message) -> int:
        """Lamports that the wallet pays before any step of `message` could pay it, the network fee among them."""
        return network_fee(message) + sum(self._certain(message).values())

    def _certain(self, message: Message) -> dict[str, int]:
        """Lamports that the wallet pays before any step could pay it, by what they are for."""
        wrapped = rent = 0
        opened: set[str] = set()
        for one in message.instructions:
            accounts = [meta.address for meta in one.accounts]
            if one.program == Program.ASSOCIATED_TOKEN and len(accounts) > 1:
                if accounts[0] == self.address and accounts[1] not in opened and self._is_new(accounts[1]):
                    rent += TOKEN_ACCOUNT_RENT
                    opened.add(accounts[1])
            elif one.program == Program.SYSTEM and one.data[:4] == _SYSTEM_TRANSFER and len(accounts) > 1:
                if accounts[0] != self.address:
                    break
                wrapped += int.from_bytes(one.data[4:12], "little")
            elif _may_give(one):
                break
        return {"to swap": wrapped, "as rent for new accounts": rent}

    def _is_new(self, address: str) -> bool:
        return address in self.accounts and self.accounts[address] is None

    def lamports(self) -> int:
        """What the wallet's own account holds."""
        account = self.accounts.get(self.address)
        return account.lamports if account else 0

    def _amount(self, mint: str, units: int) -> str:
        return amount_text(units, mint, self.tokens.get(mint))


def _may_give(one: Instruction) -> bool:
    """Whether the wallet may have more lamports after it."""
    if one.program in TOKEN_PROGRAMS:
        return one.data[:1] not in _GIVES_NOTHING
    return one.program not in _BYSTANDERS


def amount_text(units: int, mint: str, token: Token | None) -> str:
    """An amount for people: `1.5 USDC`, or base units with the mint where decimals are not known."""
    return f"{from_base_units(units, token.decimals)} {token.symbol}" if token else f"{units} base units of {mint}"


def short(address: str) -> str:
    """Enough of an address to know it by."""
    return f"{address[:4]}…"
