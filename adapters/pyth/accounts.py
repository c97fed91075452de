"""Reads a price account of Pyth's receiver program (pyth-solana-receiver-sdk, `price_update.rs`: `PriceUpdateV2`).

The bytes come from a node and are not trusted: owner, Anchor's discriminator and size are checked before any field is
read. Integers are little-endian.
"""

from dataclasses import dataclass
from struct import unpack_from

from dexexec.domain.solana import Account
from dexexec.venue import BadAnswer
from dexexec_adapters.solana.account_data import checked_data

RECEIVER = "rec5EKMGg6MxZYaMdyBfgwp4d5rB9T1VQH5pJv5LtFJ"
"""The program that checks the guardians' signatures and writes the account; the same on mainnet and devnet."""
PUSH_ORACLE = "pythWSnswVUd12oZpeFP8e9CVaEqJg25g1Vtc2biRsT"
"""The program whose derived addresses are the accounts that are kept up to date."""
DISCRIMINATOR = bytes.fromhex("22f123639d7ef4cd")
SIZE = 134
"""Bytes, for the longer of the two forms of the verification level."""
VERIFICATION_AT = 40
FULL = 1
MESSAGE = "<32sqQiq"
"""Feed id, price, confidence, exponent, and the time of publication in Unix seconds."""
MOST_EXPONENT = 18
"""No feed has more decimals; 10 to the power of anything would cost memory."""


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
    data = checked_data("price account", address, account, owner=RECEIVER, size=SIZE, discriminator=DISCRIMINATOR)
    # A partial verification has a byte more, so everything behind it moves by one. Few signatures are cheap to forge.
    if data[VERIFICATION_AT] != FULL:
        raise BadAnswer(f"the price account {address} is not fully verified")
    found, price, confidence, exponent, published_at = unpack_from(MESSAGE, data, VERIFICATION_AT + 1)
    if found != feed:
        raise BadAnswer(f"the price account {address} is of another feed: {found.hex()}")
    if price <= 0 or not -MOST_EXPONENT <= exponent <= MOST_EXPONENT:
        raise BadAnswer(f"the price account {address} has no usable price: {price} x 10^{exponent}")
    return PythPrice(price=price, confidence=confidence, exponent=exponent, published_at_ms=published_at * 1000)
