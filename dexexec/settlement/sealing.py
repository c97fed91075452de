"""Sealing: turns what an adapter built into signed bytes, which are recorded before they are sent.

Each wallet has a sealer per network: `dexexec.settlement.solana.sealer` or `dexexec.settlement.simulated.sealer`. The
check and the signature are two steps, because the key may be elsewhere. A dry run ends before the signature.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.balance import SpendableBalance
from dexexec.domain.closing import Closing
from dexexec.domain.funds import PriorityFee, Spending, Tip
from dexexec.domain.handout import Handout
from dexexec.domain.prepared_from import PreparedFrom
from dexexec.domain.quote import Fill, Quote
from dexexec.domain.swap import Blockhash, SignedSwap
from dexexec.errors import DexexecError
from dexexec.settlement.signer_errors import SignerError
from dexexec.venue import AnyVenue, InsufficientFunds, Unsigned


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A message that the guard allows to sign, and that only lacks the wallet's signature.

    `signers` are the addresses that sign it, in the order of their signatures; `cosigned` has the signatures of the
    others, verified. The other fields are as in `Sealed`.
    """

    message: bytes
    blockhash: Blockhash
    signers: tuple[str, ...] = ()
    cosigned: Mapping[str, bytes] = field(default_factory=dict)
    priority_fee: PriorityFee | None = None
    spending: Spending | None = None
    closing: Closing | None = None
    prepared: PreparedFrom | None = None
    tip: Tip | None = None


@dataclass(frozen=True, slots=True)
class Sealed:
    """A signed swap that is ready to be recorded. On Solana it has a priority fee, and the amounts of the wallet that
    the record has to reserve for it; `closing` if the order is to close the account that it empties.
    `building_seconds` is what the venue took before, and `prepared` shows how old the chain's values were."""

    signed: SignedSwap
    priority_fee: PriorityFee | None = None
    spending: Spending | None = None
    closing: Closing | None = None
    building_seconds: float = 0.0
    prepared: PreparedFrom | None = None
    tip: Tip | None = None


class ClientSignatureNeeded(DexexecError):  # noqa: N818 - no failure: the next step is the client's
    """A message is ready, and the key of its wallet is the client's."""

    def __init__(self, checked: Checked) -> None:
        super().__init__("the client has to sign")
        self.checked = checked


@runtime_checkable
class ExpectingChain(Protocol):
    """A chain that reads what a swap will need together with what its quotes read."""

    def expect(self, wallet: str, mints: Sequence[str]) -> None:
        """A swap of two mints by `wallet` is about to be quoted. Requests nothing by itself."""


class SwapSimulator(Protocol):
    """Checks the swaps of one wallet, and shows what they would move. It needs no key and signs nothing."""

    @property
    def payer(self) -> str:
        """The wallet's public key, base58."""

    async def simulate(
        self,
        venue: AnyVenue,
        quote: Quote,
        unsigned: Unsigned,
        deadline: float,
        attempt: AttemptId,
        *,
        close_account: bool = False,
    ) -> Fill:
        """Returns what the swap that `venue` built from `quote` would move. The checks, the parameters and the errors
        are those of `Sealer.seal`."""

    async def spendable(self, mint: str) -> SpendableBalance:
        """Returns what the wallet can spend of `mint` now. Raises `VenueError`; `Unsupported` where wallets have no
        balances."""

    async def shortage(self, quote: Quote, newest: int) -> InsufficientFunds | None:
        """Returns what the wallet lacks for `quote`, independent of the transaction. It is None too if the balances are
        older than the slot `newest`. Raises `VenueError`."""


class Sealer(SwapSimulator, Protocol):
    """Signs swaps with one wallet."""

    async def check(
        self,
        venue: AnyVenue,
        quote: Quote,
        unsigned: Unsigned,
        deadline: float,
        attempt: AttemptId,
        *,
        close_account: bool = False,
    ) -> Checked:
        """Returns the message to sign, from what `venue` built from `quote`. `deadline` is monotonic seconds; `attempt`
        names the transaction on the chain. `close_account`: the token account that the swap empties is closed. Raises
        `VenueError`, which includes `GuardError`. Other exceptions of an adapter pass through."""

    async def sign(self, checked: Checked) -> Sealed:
        """Signs what was checked, and sends nothing. Raises `SignerError`."""

    def trouble(self) -> SignerError | None:
        """The outage because of which the signer is not tried now, or None."""

    async def seal(
        self,
        venue: AnyVenue,
        quote: Quote,
        unsigned: Unsigned,
        deadline: float,
        attempt: AttemptId,
        *,
        close_account: bool = False,
    ) -> Sealed:
        """`check` and `sign` in one step. Raises as they do."""
        return await self.sign(await self.check(venue, quote, unsigned, deadline, attempt, close_account=close_account))


class ClientSignedSealer(Sealer, Protocol):
    """Checks swaps of a client's wallet. Its `sign` raises `ClientSignatureNeeded`."""

    def complete(self, handout: Handout, attempt: AttemptId) -> SignedSwap:
        """Returns the transaction of what the client has signed. It may only be sent once it is recorded."""
