"""What a wallet can spend of a token, as read from the chain and the record at one moment."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendableBalance:
    """Base units of one token as of `slot`. `account` is the account that holds them.

    `balance` is what the wallet has. Of it, open attempts of other orders may take `reserved`, and `kept` stays for
    fees and rent, if the token is SOL.
    """

    account: str
    slot: int
    balance: int
    reserved: int = 0
    kept: int = 0

    @property
    def available(self) -> int:
        """What an order can spend."""
        return max(0, self.balance - self.reserved - self.kept)

    @property
    def freed_later(self) -> bool:
        """Whether nothing is available now, but would be if the attempts of other orders came to nothing."""
        return self.available == 0 and self.balance > self.kept

    def detail(self) -> dict[str, object]:
        """The figures as JSON values."""
        return {
            "account": self.account,
            "slot": self.slot,
            "balance": str(self.balance),
            "reserved": str(self.reserved),
            **({"kept": str(self.kept)} if self.kept else {}),
        }
