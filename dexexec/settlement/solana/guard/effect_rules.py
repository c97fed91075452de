"""The part of the guard that compares the effects of a simulation on our accounts with what the order allows. Pure.

Our accounts are the wallet and the token accounts that it owns, before or after. Only accounts that the message may
write to can change, so sums over these show what moved.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dexexec.domain.rent import Rent
from dexexec.domain.solana import Account
from dexexec.domain.token import WSOL
from dexexec.settlement.guard_errors import GuardError, Rule
from dexexec.settlement.solana.message import Program
from dexexec.settlement.solana.token_account import TokenAccount, read_token_account


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """Accounts before and after a simulation, by address (None: no account), and the limits of the order.

    `max_in` and `min_out` are base units. `wrapped_allowance` is how much of the existing wrapped SOL may be spent.
    `fee` is what the simulation charged, in lamports. `watched` are the addresses that the message may write to.
    `rent` is the cluster's. `via` are mints that the swap passes through. `closes` is our token account that must be
    closed; empty if none may be.
    """

    wallet: str
    mint_in: str
    mint_out: str
    via: frozenset[str] = frozenset()
    max_in: int
    min_out: int
    wrapped_allowance: int
    fee: int
    watched: tuple[str, ...]
    before: Mapping[str, Account | None]
    after: Mapping[str, Account | None]
    rent: Rent
    closes: str = ""


@dataclass(frozen=True, slots=True)
class _Change:
    """The token account of the wallet at one address, before and after; None if the account is not ours."""

    address: str
    before: TokenAccount | None
    after: TokenAccount | None

    def gain(self, mint: str) -> int:
        """Returns by how many base units of `mint` our balance here grew."""
        was, now = ((token.amount if token and token.mint == mint else 0) for token in (self.before, self.after))
        return now - was

    def lamports(self, rent: Rent) -> int:
        """Returns by how many lamports our balance here grew. `rent` is the cluster's."""
        was = self.before.lamports if self.before else 0
        if self.after is None:
            return -was
        now = self.after.lamports
        if self.after.mint != WSOL:
            # Lamports beyond the rent of such an account are hard to get back, so they count as spent.
            now = min(now, max(was, rent.exempt(self.after.size)))
        return now - was


def own_accounts(accounts: Mapping[str, Account | None], wallet: str) -> dict[str, Account | None]:
    """Selects our accounts: the wallet and its token accounts."""
    return {at: account for at, account in accounts.items() if at == wallet or _own(account, wallet) is not None}


def frozen_accounts(accounts: Mapping[str, Account | None], wallet: str) -> list[str]:
    """Returns the addresses of our frozen token accounts."""
    owned = ((at, _own(account, wallet)) for at, account in accounts.items())
    return [at for at, token in owned if token is not None and token.frozen]


def balance_of(accounts: Mapping[str, Account | None], wallet: str, mint: str) -> int:
    """Returns our balance of `mint` in base units; for wrapped SOL including the wallet's own lamports."""
    tokens = (_own(account, wallet) for account in accounts.values())
    amount = sum(token.amount for token in tokens if token is not None and token.mint == mint)
    return amount + (_lamports(accounts.get(wallet)) if mint == WSOL else 0)


def find_fault(effects: Effects) -> GuardError | None:
    """Returns the first broken rule as an error, or None."""
    return next(_faults(effects), None)


def _faults(effects: Effects) -> Iterator[GuardError]:
    for address in (effects.wallet, *effects.watched):
        # An account that the simulation does not show may have changed in any way.
        if address not in effects.before or address not in effects.after:
            yield GuardError(Rule.UNSEEN, f"the simulation does not show {address}, which could change")
            return
    yield from _wallet_faults(effects)
    changes = [_change(effects, address) for address in effects.watched if address != effects.wallet]
    for change in changes:
        yield from _power_faults(effects, change)
    yield from _amount_faults(effects, changes)
    if effects.closes and effects.after[effects.closes] is not None:
        yield GuardError(Rule.CLOSE, f"our account {effects.closes} would stay open, and the order closes it")


def _wallet_faults(effects: Effects) -> Iterator[GuardError]:
    now = effects.after[effects.wallet]
    if now is None or now.owner != Program.SYSTEM or now.data:
        yield GuardError(Rule.WALLET, "our wallet would no longer be a plain account of the system program")


def _power_faults(effects: Effects, change: _Change) -> Iterator[GuardError]:
    """Yields the powers over our account that another account would gain."""
    was = change.before
    now = change.after
    address = change.address
    if was is not None and now is None and read_token_account(effects.after[address]) is not None:
        yield GuardError(Rule.OWNER, f"our token account {address} would belong to another owner")
    if was is not None and was.mint == WSOL and effects.after[address] is None:
        yield GuardError(Rule.CLOSE, f"our wrapped SOL {address}, which was there before, would be closed")
    if now is None:
        return
    # Powers that were there before are no fault of this swap: the owner may have granted them.
    if now.delegate is not None and (was is None or was.delegate != now.delegate or was.delegated < now.delegated):
        yield GuardError(Rule.DELEGATE, f"{now.delegate} could take tokens from our account {address}")
    closer = now.close_authority
    if closer not in (None, effects.wallet) and (was is None or was.close_authority != closer):
        yield GuardError(Rule.CLOSE_AUTHORITY, f"{closer} could close our account {address}")
    if now.frozen and (was is None or not was.frozen):
        yield GuardError(Rule.FROZEN, f"our account {address} would be frozen")


def _amount_faults(effects: Effects, changes: list[_Change]) -> Iterator[GuardError]:
    traded = {effects.mint_in, effects.mint_out}
    paid = _lamports(effects.before[effects.wallet]) - _lamports(effects.after[effects.wallet])
    # SOL is summed over all our accounts, without the network fee. Wrapping, unwrapping and rent that moves between our
    # own accounts then cancel out, and only what really leaves us is counted.
    sol = sum(change.lamports(effects.rent) for change in changes) - paid + effects.fee
    gains = {mint: sol if mint == WSOL else sum(change.gain(mint) for change in changes) for mint in traded}
    if -gains[effects.mint_in] > effects.max_in:
        yield GuardError(Rule.SPENT, f"{-gains[effects.mint_in]} would be spent, over the order's {effects.max_in}")
    if gains[effects.mint_out] < effects.min_out:
        yield GuardError(
            Rule.RECEIVED, f"{gains[effects.mint_out]} would be received, under the order's {effects.min_out}"
        )
    for mint in sorted(effects.via - {WSOL}):
        # What the first pool gives is all that the second one may take: the rest of our balance is not for sale.
        if (gained := sum(change.gain(mint) for change in changes)) < 0:
            yield GuardError(Rule.SPENT, f"{-gained} of {mint} would be spent, which the swap only passes through")
    if WSOL not in traded and sol < 0:
        yield GuardError(Rule.LAMPORTS, f"{-sol} lamports would go beyond the fee and the rent of our own accounts")
    # Counted apart: unwrapping does not change the sum of our SOL, and yet takes from what the operator keeps wrapped.
    unwrapped = -sum(change.gain(WSOL) for change in changes if change.before is not None)
    if unwrapped > effects.wrapped_allowance:
        yield GuardError(Rule.WRAPPED, f"{unwrapped} of our wrapped SOL would go, over {effects.wrapped_allowance}")


def _change(effects: Effects, address: str) -> _Change:
    before = _own(effects.before[address], effects.wallet)
    after = _own(effects.after[address], effects.wallet)
    return _Change(address, before, after)


def _own(account: Account | None, wallet: str) -> TokenAccount | None:
    token = read_token_account(account)
    return token if token is not None and token.owner == wallet else None


def _lamports(account: Account | None) -> int:
    return account.lamports if account else 0
