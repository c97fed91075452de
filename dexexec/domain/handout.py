"""A transaction that a client signs itself: built and checked here, handed out, and landed here once it is signed.

It needs a second signer, the service's co-signer, whose signature is only added when the attempt is recorded. So
nothing that was handed out can land before, however the client uses it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from dexexec.domain.event import Detail
from dexexec.domain.funds import Spending
from dexexec.domain.status import Status
from dexexec.domain.transaction_bytes import SIGNATURE_BYTES, join, split

CLIENT_MARK = "@"
"""In front of a client's address in the place of a wallet's name. No name of a wallet can begin with it."""


def client_wallet(address: str) -> str:
    """The name of the wallet that a client signs for."""
    return CLIENT_MARK + address


def client_address(wallet: str | None) -> str | None:
    """The address of a client's own wallet; None for a wallet of the service."""
    return wallet[1:] if wallet is not None and wallet.startswith(CLIENT_MARK) else None


def payer_detail(wallet: str | None) -> dict[str, object]:
    """Who pays, as clients see it: a wallet of the service by its name, or one of a client by its address."""
    address = client_address(wallet)
    return {"wallet": wallet} if address is None else {"wallet": None, "payer": address}


@dataclass(frozen=True, slots=True, kw_only=True)
class Handout:
    """`n` is the number of the attempt that it becomes. `signers` are in the order of their signatures, the client's
    first; `cosigned` has the venue's. `most_in` is the most that it may spend (base units), `impact_ppm` its price
    impact. `signature` is the client's, None before it has signed. `age_ms` is its age when it was read."""

    n: int
    venue: str
    message: bytes
    signers: tuple[str, ...]
    last_valid_height: int
    network: str
    genesis: str
    quoted: Detail
    most_in: int
    impact_ppm: int | None = None
    spending: Spending | None = None
    cosigned: Mapping[str, bytes] = field(default_factory=dict)
    signature: bytes | None = None
    age_ms: int = 0

    def transaction(self) -> bytes:
        """The bytes to sign, with zeros in the place of each signature."""
        return join(self.message, [bytes(SIGNATURE_BYTES) for _ in self.signers])


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitedOrder:
    """An order for which a client wants to sign. `handout` is None if nothing is to be signed; `recorded` is the
    transaction of its newest attempt, and `recorded_n` the number of that."""

    status: Status
    ended: bool
    wallet: str | None
    handout: Handout | None = None
    recorded: bytes | None = None
    recorded_n: int = 0


class SignedByClient(NamedTuple):
    """What a client sent back: its signature, the first one, and the message that it is for."""

    signature: bytes
    message: bytes


def read_transaction(data: bytes, signers: int) -> SignedByClient | None:
    """The parts of a transaction with that many signers; None if it has another form."""
    try:
        parts = split(data)
    except ValueError:
        return None
    return SignedByClient(parts.signatures[0], parts.message) if len(parts.signatures) == signers else None
