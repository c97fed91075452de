"""What is offered so that a transaction lands: a tip beside the fee, and a price that rises with each attempt. Pure.

A tip is a transfer of the wallet to an account of a block builder or sender service. The operator names the accounts,
and the guard lets no other transfer pass (`guard.message_rules`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.funds import PriorityFee, Tip
from dexexec.domain.solana import AccountMeta, Instruction
from dexexec.settlement.solana.message import Program

BPS = 10_000
_TRANSFER = b"\x02\0\0\0"
LEAST_RISE = 1_000
"""Micro-lamports per compute unit by which a price rises at least: where the market price is 0, a share of it is 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bids:
    """The operator's offers. Without `accounts` there are no tips.

    A tip is `lamports`, or `share_bps` of the network fee if that is more, and never over `most`. Each attempt after
    the first offers a price per compute unit that is `rise_bps` higher.
    """

    accounts: tuple[str, ...] = ()
    lamports: int = 0
    share_bps: int = 0
    most: int = 0
    rise_bps: int = 0

    @property
    def most_tip(self) -> int:
        """Returns the most lamports that a tip may be; 0 if there are none."""
        return self.most if self.accounts and (self.lamports or self.share_bps) else 0

    def tip_for(self, attempt: AttemptId) -> Tip | None:
        """Returns the tip of an attempt before its fee is known; None if there are none."""
        if not self.most_tip:
            return None
        # The same attempt always has the same account, and attempts are spread: all that write to one account land one
        # after the other.
        account = self.accounts[(attempt.order_id.int + attempt.attempt) % len(self.accounts)]
        return Tip(account, self.amount(0))

    def amount(self, fee: int) -> int:
        """Returns the lamports of a tip beside a network fee; 0 if there are no tips."""
        # At least one lamport, so that the simulated transaction has the same steps as the final one.
        return min(self.most_tip, max(1, self.lamports, fee * self.share_bps // BPS))

    def price(self, offer: PriorityFee, attempt: AttemptId) -> PriorityFee:
        """Returns the price for an attempt of an order: higher than for the one before, and not over the cap."""
        before = attempt.attempt - 1
        if not before or not self.rise_bps:
            return offer
        # The exponent is small: an order has a hundred attempts at most.
        raised = offer.price * (BPS + self.rise_bps) ** before // BPS**before
        return replace(offer, price=max(offer.price, min(offer.cap, max(raised, offer.price + before * LEAST_RISE))))


NO_BIDS = Bids()


def tip_step(wallet: str, tip: Tip) -> Instruction:
    """Returns the transfer of a tip."""
    source = AccountMeta(wallet, signer=True, writable=True)
    target = AccountMeta(tip.account, signer=False, writable=True)
    return Instruction(Program.SYSTEM, (source, target), _TRANSFER + tip.lamports.to_bytes(8, "little"))


def with_tip(steps: Sequence[Instruction], wallet: str, drafted: Tip, final: Tip) -> tuple[Instruction, ...]:
    """Returns the steps with another amount of the tip."""
    before = tip_step(wallet, drafted)
    after = tip_step(wallet, final)
    return tuple(after if step == before else step for step in steps)
