"""Reads how much of a token the wallet can spend now: its balance without what open attempts of other orders may take.

Venues spend from the wallet's associated token account, so that is the one that counts. Of SOL, enough stays in the
wallet to pay for the swap itself.
"""

from collections.abc import Callable, Mapping

from dexexec.clock import Clock
from dexexec.domain.balance import SpendableBalance
from dexexec.domain.funds import LAMPORTS
from dexexec.domain.rent import ReadRent, Rent
from dexexec.domain.solana import Account, Accounts
from dexexec.domain.token import WSOL, Tokens
from dexexec.settlement.solana.fresh_accounts import fresher_accounts
from dexexec.settlement.solana.funds import abbreviate
from dexexec.settlement.solana.message import MAX_UNITS, SIGNATURE_FEE, TOKEN_PROGRAMS
from dexexec.settlement.solana.spending import Reservations
from dexexec.settlement.solana.token_account import TokenAccount, read_token_account
from dexexec.settlement.solana.transaction import associated_token_account
from dexexec.venue import AccountFrozen, SolanaChain

SIGNATURES = 2
"""The wallet's, and one of the venue's own."""
EXTENDED_SIZE = 200
"""Bytes of a token account with the extensions that the venues support."""
OPENED_ACCOUNTS = 2
"""Token accounts that a sale of SOL may open: the one for wrapped SOL, which it closes again, and the receiving one."""


def lamports_kept(max_priority_fee: int, rent: Rent, signature_fee: int = SIGNATURE_FEE, most_tip: int = 0) -> int:
    """Returns the lamports that a sale of all SOL leaves in the wallet: what it must keep, the rent of the accounts
    that the swap opens, and tip and fee at the highest price (micro-lamports per compute unit) that may be offered."""
    opened = OPENED_ACCOUNTS * rent.exempt(EXTENDED_SIZE)
    fee = SIGNATURES * signature_fee - (-MAX_UNITS * max_priority_fee // 1_000_000)
    return rent.wallet + opened + fee + most_tip


class BalanceReader:
    """Reads the balances of `wallet`, an address. `reserved` returns what open attempts may take from it. Without
    `spend_wrapped`, SOL that was wrapped before is not counted. `node` is the same chain, never from memory: it
    confirms that there is nothing to spend, and is read while own swaps may have changed the balance."""

    def __init__(
        self,
        chain: SolanaChain,
        wallet: str,
        clock: Clock,
        *,
        reserved: Reservations,
        max_priority_fee: int,
        spend_wrapped: bool,
        tokens: Tokens,
        node: SolanaChain,
        rent: ReadRent,
        signature_fee: Callable[[], int],
        most_tip: int = 0,
    ) -> None:
        self._chain = chain
        self._node = node
        self._wallet = wallet
        self._clock = clock
        self._reserved = reserved
        self._max_priority_fee = max_priority_fee
        self._most_tip = most_tip
        self._rent = rent
        self._signature_fee = signature_fee
        self._spend_wrapped = spend_wrapped
        self._tokens = tokens

    async def spendable(self, mint: str) -> SpendableBalance:
        """Returns what the wallet can spend of `mint`. Raises `VenueError`, `AccountFrozen` among them."""
        # A mint belongs to one token program, so at most one of the two addresses is an account.
        associated = [associated_token_account(self._wallet, mint, program) for program in sorted(TOKEN_PROGRAMS)]
        addresses = (self._wallet, *associated)
        accounts = await self._chain.accounts(addresses)
        reserved = await self._reserved(self._wallet, accounts.slot)
        if reserved and self._chain is not self._node:
            # A swap of ours may have landed after the slot of what is in memory: a sale of all that it brought, posted
            # with its confirmation, would sell only what was there before.
            accounts = await self._node.accounts(addresses)
            reserved = await self._reserved(self._wallet, accounts.slot)
        found = await self._of(mint, addresses, accounts, reserved)
        if found.available or found.freed_later:
            return found
        # Nothing to spend ends an order, so a later read must confirm it: this node may lag behind a deposit.
        accounts = await fresher_accounts(self._node, self._clock, addresses, accounts.slot)
        return await self._of(mint, addresses, accounts, await self._reserved(self._wallet, accounts.slot))

    async def _of(
        self, mint: str, addresses: tuple[str, ...], accounts: Accounts, reserved: Mapping[str, int]
    ) -> SpendableBalance:
        shown = dict(zip(addresses, accounts.found, strict=True))
        if mint == WSOL:
            kept = lamports_kept(self._max_priority_fee, await self._rent(), self._signature_fee(), self._most_tip)
            return self._sol(shown, accounts.slot, reserved, kept)
        address, token = self._token_account(mint, shown)
        if token is not None and token.frozen:
            symbol = known.symbol if (known := self._tokens.get(mint)) else mint
            raise AccountFrozen(f"the account {address} of wallet {abbreviate(self._wallet)} for {symbol} is frozen")
        return SpendableBalance(
            account=address,
            slot=accounts.slot,
            balance=token.amount if token else 0,
            reserved=reserved.get(mint, 0),
        )

    def _sol(
        self, shown: Mapping[str, Account | None], slot: int, reserved: Mapping[str, int], most_kept: int
    ) -> SpendableBalance:
        account = shown[self._wallet]
        lamports = account.lamports if account else 0
        _, wrapped = self._token_account(WSOL, shown)
        more = wrapped.amount if wrapped and self._spend_wrapped else 0
        # Fees and rent are paid in lamports, so wrapped SOL can be spent completely even if those are few. And what is
        # reserved of one kind is not taken from the other: the sum would otherwise promise what neither has.
        kept = min(lamports, most_kept)
        free_lamports = max(0, lamports - kept - reserved.get(LAMPORTS, 0))
        free_wrapped = max(0, more - reserved.get(WSOL, 0))
        return SpendableBalance(
            account=self._wallet,
            slot=slot,
            balance=lamports + more,
            reserved=lamports + more - kept - free_lamports - free_wrapped,
            kept=kept,
        )

    def _token_account(self, mint: str, shown: Mapping[str, Account | None]) -> tuple[str, TokenAccount | None]:
        """Returns the associated account for `mint` and its address; the usual address if there is none."""
        addresses = [address for address in shown if address != self._wallet]
        for address in addresses:
            token = read_token_account(shown[address])
            # An associated account may have been given to another owner: then it is not the wallet's any more.
            if token is not None and token.owner == self._wallet and token.mint == mint:
                return address, token
        return associated_token_account(self._wallet, mint), None
