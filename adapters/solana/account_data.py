"""The checks that every account passes before a venue reads its bytes by offset."""

from dexexec.domain.solana import Account
from dexexec.venue import BadAnswer


def checked_data(
    what: str, address: str, account: Account | None, *, owner: str, size: int, discriminator: bytes = b""
) -> bytes:
    """The data of an account that belongs to `owner`, begins with `discriminator` and has `size` bytes.

    Raises `BadAnswer` for any other account. `what` is the kind of account in its message.
    """
    if account is None:
        raise BadAnswer(f"there is no {what} {address}")
    # The owner first: only the owning program can have written the bytes, so nothing before this check is reliable.
    if account.owner != owner:
        raise BadAnswer(f"the {what} {address} belongs to {account.owner}, not to the program {owner}")
    prefix = account.data[: len(discriminator)]
    if prefix != discriminator:
        raise BadAnswer(f"the account {address} is not a {what}: its discriminator is {prefix.hex() or 'missing'}")
    if len(account.data) != size:
        raise BadAnswer(f"the {what} {address} has {len(account.data)} bytes instead of {size}")
    return account.data
