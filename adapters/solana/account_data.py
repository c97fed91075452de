"""Accounts that a venue reads by their layout: whether one can be what is looked for."""

from dexexec.domain.solana import Account
from dexexec.venue import BadAnswer


def data_of(what: str, address: str, account: Account | None, owner: str, size: int) -> bytes:
    """The account's data, if it belongs to `owner` and has `size` bytes. Raises `BadAnswer`, in which `what` is its
    name."""
    if account is None:
        raise BadAnswer(f"there is no {what} {address}")
    if account.owner != owner:
        raise BadAnswer(f"the {what} {address} belongs to {account.owner}, not to {owner}")
    if len(account.data) != size:
        raise BadAnswer(f"the {what} {address} has {len(account.data)} bytes: {size} are due")
    return account.data
