"""Adapts the instructions of a swap to a wallet that keeps wrapped SOL. Pure.

Adapters build as if the wallet had no account for wrapped SOL: they open it, wrap the sold amount, and close it at the
end, which unwraps all that it holds. An existing account stays open instead, and keeps what the swap receives. Its
balance is spent only if the order may do so and the wallet's own lamports are not enough.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from dexexec.domain.funds import LAMPORTS
from dexexec.domain.solana import Instruction
from dexexec.domain.token import WSOL
from dexexec.settlement.solana.message import Program

_TRANSFER = b"\x02\0\0\0"
_CREATE, _CREATE_IDEMPOTENT = b"\0", b"\x01"
_CLOSE = b"\x09"


def lamports_wrapped(steps: Iterable[Instruction], wallet: str, wrapped: str) -> int:
    """Returns the lamports that the steps transfer from the wallet to its account for wrapped SOL."""
    return sum(_lamports(step) for step in steps if _wraps(step, wallet, wrapped))


def amount_from_wrapped(wanted: int, costs: int, lamports: int, wrapped: int, reserved: Mapping[str, int]) -> int:
    """Returns how much of the `wanted` lamports to sell comes from the `wrapped` balance.

    `lamports` is the wallet's own balance, which also pays `costs`. `reserved` is what open attempts may take of both.
    """
    # Unwrapped lamports are spent first: SOL that the operator keeps wrapped stays wrapped where possible.
    if wanted + costs <= lamports - reserved.get(LAMPORTS, 0):
        return 0
    free = min(wanted, max(0, wrapped - reserved.get(WSOL, 0)))
    # If only reserved amounts are missing, the order plans with them: the record then makes it wait for them.
    return free if wanted - free + costs <= lamports else min(wanted, wrapped)


def keep_open(steps: Iterable[Instruction], wallet: str, wrapped: str, spend: int) -> tuple[Instruction, ...]:
    """Returns `steps` for a wallet whose account `wrapped` exists: it is not closed, and `spend` lamports less are
    wrapped."""
    kept = []
    for step in steps:
        if _closes(step, wrapped):
            continue
        if not spend or not _wraps(step, wallet, wrapped):
            kept.append(step)
            continue
        less = min(spend, _lamports(step))
        spend -= less
        # A transfer of zero lamports has no effect, so it is left out.
        if less < _lamports(step):
            kept.append(replace(step, data=_TRANSFER + (_lamports(step) - less).to_bytes(8, "little")))
    return tuple(kept)


def open_only_if_absent(steps: tuple[Instruction, ...], wrapped: str) -> tuple[Instruction, ...]:
    """Returns `steps` for a wallet without the account `wrapped`: they fail if it exists by the time they land."""
    # The instruction that closes the account would otherwise unwrap SOL that another transaction put there meanwhile.
    closes = any(_closes(step, wrapped) for step in steps)
    for place, step in enumerate(steps):
        if closes and step.program == Program.ASSOCIATED_TOKEN and _addresses(step, 2)[1:] == [wrapped]:
            strict = replace(step, data=_CREATE) if step.data == _CREATE_IDEMPOTENT else step
            return (*steps[:place], strict, *steps[place + 1 :])
    return steps


def _closes(step: Instruction, wrapped: str) -> bool:
    return step.program == Program.TOKEN and step.data == _CLOSE and _addresses(step, 1) == [wrapped]


def _wraps(step: Instruction, wallet: str, wrapped: str) -> bool:
    transfers = step.program == Program.SYSTEM and step.data[:4] == _TRANSFER and len(step.data) == 12
    return transfers and _addresses(step, 2) == [wallet, wrapped]


def _lamports(step: Instruction) -> int:
    return int.from_bytes(step.data[4:], "little")


def _addresses(step: Instruction, count: int) -> list[str]:
    return [meta.address for meta in step.accounts[:count]]
