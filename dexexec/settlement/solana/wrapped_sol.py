"""SOL that the wallet keeps wrapped is left as it is: what an adapter builds is put right where there is some. Pure.

Adapters build as if the wallet had no account for wrapped SOL: they open it, wrap what is sold, and close it at
the end, which unwraps whatever is in it. An account that was there before stays open, and what is received stays
wrapped in it. What it held is only taken where the order may spend it and the wallet's own lamports are not enough.
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
    """Lamports that go from the wallet to its account for wrapped SOL."""
    return sum(_lamports(one) for one in steps if _wraps(one, wallet, wrapped))


def from_wrapped(wanted: int, costs: int, lamports: int, wrapped: int, reserved: Mapping[str, int]) -> int:
    """How much of `wanted` lamports to sell is taken of the `wrapped` that are there: nothing if the wallet's own
    `lamports` are enough for it and for `costs`, else as much as is there, so that something is left for fees.
    `reserved` is what other attempts in flight may take of both."""
    if wanted + costs <= lamports - reserved.get(LAMPORTS, 0):
        return 0
    free = min(wanted, max(0, wrapped - reserved.get(WSOL, 0)))
    # Where only what others may take is missing, the record tells the order to wait for it.
    return free if wanted - free + costs <= lamports else min(wanted, wrapped)


def keep_open(steps: Iterable[Instruction], wallet: str, wrapped: str, spend: int) -> tuple[Instruction, ...]:
    """`steps` where the account `wrapped` is there: it is not closed, and `spend` lamports less are wrapped."""
    kept = []
    for one in steps:
        if one.program == Program.TOKEN and one.data == _CLOSE and _named(one, 1) == [wrapped]:
            continue
        step = one
        if _wraps(one, wallet, wrapped) and spend:
            less = min(spend, _lamports(one))
            spend -= less
            if less == _lamports(one):
                continue
            step = replace(one, data=_TRANSFER + (_lamports(one) - less).to_bytes(8, "little"))
        kept.append(step)
    return tuple(kept)


def open_strictly(steps: tuple[Instruction, ...], wrapped: str) -> tuple[Instruction, ...]:
    """`steps` for a wallet whose account `wrapped` is not there: they fail if it is by the time they land, as what
    closes it in the end would unwrap what somebody put there meanwhile."""
    closes = any(one.program == Program.TOKEN and one.data == _CLOSE and _named(one, 1) == [wrapped] for one in steps)
    for place, one in enumerate(steps):
        if closes and one.program == Program.ASSOCIATED_TOKEN and _named(one, 2)[1:] == [wrapped]:
            strict = replace(one, data=_CREATE) if one.data == _CREATE_IDEMPOTENT else one
            return (*steps[:place], strict, *steps[place + 1 :])
    return steps


def _wraps(one: Instruction, wallet: str, wrapped: str) -> bool:
    whole = one.program == Program.SYSTEM and one.data[:4] == _TRANSFER and len(one.data) == 12
    return whole and _named(one, 2) == [wallet, wrapped]


def _lamports(one: Instruction) -> int:
    return int.from_bytes(one.data[4:], "little")


def _named(one: Instruction, count: int) -> list[str]:
    return [meta.address for meta in one.accounts[:count]]
