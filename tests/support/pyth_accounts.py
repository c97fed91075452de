"""Price accounts of Pyth as its receiver program writes them, and a chain that has them."""

from collections.abc import Sequence
from struct import pack
from typing import Any

from dexexec.domain.solana import Account, Accounts
from dexexec.domain.token import USDC, WSOL
from dexexec_adapters.pyth.layout import PRICE, RECEIVER
from dexexec_adapters.pyth.reference import KNOWN_FEEDS
from tests.support.scripted import ScriptedChain

SOL_FEED, USDC_FEED = (bytes.fromhex(KNOWN_FEEDS[mint]) for mint in (WSOL, USDC))
SOL_ACCOUNT, USDC_ACCOUNT = (
    "7UVimffxr9ow1uXYxsr4LHAcV58mLzhmwaeKvJ1pjLiE",
    "Dpw1EAVrSB1ibxiDQyTAW6Zip3J4Btk2x4SgApQCeFbX",
)
NOW_S = 1_700_000_000


def price_data(
    feed: bytes = SOL_FEED,
    price: int = 15_000_000_000,
    *,
    confidence: int = 5_000_000,
    exponent: int = -8,
    at_s: int = NOW_S,
    verification: bytes = b"\x01",
) -> bytes:
    """An account's data as the receiver writes it: the space is for the longer verification level."""
    message = feed + pack("<qQiqqqQ", price, confidence, exponent, at_s, at_s - 1, price, confidence)
    return (PRICE.discriminator + bytes(32) + verification + message + pack("<Q", 400)).ljust(PRICE.size, b"\0")


def price_account(content: bytes, owner: str = RECEIVER) -> Account:
    return Account(owner, 1, content)


class PriceChain(ScriptedChain):
    """A Solana chain with the accounts of SOL at 150 dollars and USDC at 0.9999, unless a test sets others."""

    def __init__(self) -> None:
        super().__init__()
        self.by_address: dict[str, Account | Exception] = {
            SOL_ACCOUNT: price_account(price_data()),
            USDC_ACCOUNT: price_account(price_data(USDC_FEED, 99_990_000, confidence=10_000, at_s=NOW_S - 3)),
        }
        self.requests: list[list[str]] = []

    async def accounts(self, addresses: Sequence[str]) -> Accounts:
        """What the test has set."""
        self.requests.append(list(addresses))
        found = [self.by_address.get(address) for address in addresses]
        for answer in found:
            if isinstance(answer, Exception):
                raise answer
        return Accounts(1, tuple(answer for answer in found if not isinstance(answer, Exception)))

    async def program_accounts(self, *_: Any) -> Any:
        """Not needed."""
        raise NotImplementedError

    async def simulate(self, *_: Any) -> Any:
        """Not needed."""
        raise NotImplementedError
