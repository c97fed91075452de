"""What an attempt does with the token account that its order closes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """The token account `address` is closed by the swap's own transaction, and its `rent` (lamports) goes back to the
    wallet; or it stays open, for the reason in `kept`."""

    address: str = ""
    rent: int = 0
    kept: str = ""

    def detail(self) -> dict[str, object]:
        """The fields as JSON values."""
        if self.kept:
            return {"kept": self.kept}
        return {"account": self.address, "rent": str(self.rent)}
