"""The price accounts of Pyth's receiver program (pyth-solana-receiver-sdk, `price_update.rs`: `PriceUpdateV2`)."""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

from dexexec.domain.solana import Account
from dexexec.venue import BadAnswer
from dexexec_adapters.solana.layout import I32, I64, U8, U64, Bytes32, Layout, after

RECEIVER = "rec5EKMGg6MxZYaMdyBfgwp4d5rB9T1VQH5pJv5LtFJ"
"""The program that checks the guardians' signatures and writes the account; the same on mainnet and devnet."""
PUSH_ORACLE = "pythWSnswVUd12oZpeFP8e9CVaEqJg25g1Vtc2biRsT"
"""The program whose derived addresses are the accounts that are kept up to date."""
FULL = 1
MOST_EXPONENT = 18
"""No feed has more decimals; 10 to the power of anything would cost memory."""


class _PriceUpdate(NamedTuple):
    # A partial verification has a byte more, so everything behind it moves by one, and its fields are not read.
    verification_level: Annotated[U8, after(32)]
    feed: Bytes32
    price: I64
    confidence: U64
    exponent: I32
    published_at: I64  # Unix seconds


PRICE = Layout("price account", _PriceUpdate, discriminator="22f123639d7ef4cd", size=134)


@dataclass(frozen=True, slots=True, kw_only=True)
class PythPrice:
    """A price of `price` x 10^`exponent` dollars for a token, plus or minus `confidence` x 10^`exponent`."""

    price: int
    confidence: int
    exponent: int
    published_at_ms: int


def feed_seeds(feed: bytes) -> tuple[bytes, bytes]:
    """The seeds of the address at which the price of `feed` is kept up to date: shard 0, and the feed's id."""
    return bytes(2), feed


def read_price(address: str, account: Account | None, feed: bytes) -> PythPrice:
    """The price in the account. Raises `BadAnswer` for any other account, for another feed, and for a price that less
    than two thirds of the guardians have signed."""
    update = PRICE.read(address, account, owner=RECEIVER)
    # Few signatures are cheap to forge.
    if update.verification_level != FULL:
        raise BadAnswer(f"the price account {address} is not fully verified")
    if update.feed != feed:
        raise BadAnswer(f"the price account {address} is of another feed: {update.feed.hex()}")
    if update.price <= 0 or not -MOST_EXPONENT <= update.exponent <= MOST_EXPONENT:
        raise BadAnswer(f"the price account {address} has no usable price: {update.price} x 10^{update.exponent}")
    return PythPrice(
        price=update.price,
        confidence=update.confidence,
        exponent=update.exponent,
        published_at_ms=update.published_at * 1000,
    )
