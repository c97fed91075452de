"""The instruction of Jupiter's program that executes a route: checked, and with the order's own bounds. Pure.

Two instructions are supported: `route`, and `shared_accounts_route`, whose tokens on the way stay with Jupiter. Both
end with the amount to sell and what the program's bound follows from. Accounts and layout are those of the program's
IDL, and the sizes of the markets' parameters were measured on the program.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from struct import Struct

from dexexec.domain.solana import Instruction
from dexexec.venue import BadAnswer, Unsupported
from dexexec_adapters.solana.spl import ASSOCIATED_TOKEN, TOKEN, TOKEN_2022, TokenAccount

ROUTE = bytes.fromhex("e517cb977ae3ad2a")
SHARED_ACCOUNTS_ROUTE = bytes.fromhex("c1209b3341d69c81")
ARGUMENTS = Struct("<QQHB")
"""Base units to sell, quoted base units, slippage and platform fee in bps."""
_COUNT = Struct("<I")
MOST_HOPS = 32
STEP_BYTES = 4
"""Of a step of the route without parameters: the market's number, its share in percent, and the places of the tokens
that it takes and gives."""
PARAMETER_BYTES = {
    **dict.fromkeys((8, 12, 15, 16, 17, 18, 21, 23, 24, 27, 28, 39, 58, 60, 61, 64, 85, 89), 1),
    **dict.fromkeys((71, 86), 2),
    **dict.fromkeys((33, 41), 4),
    **dict.fromkeys((44, 45), 5),
    **dict.fromkeys((81, 82), 8),
    29: 16,
    42: 3,
    43: 10,
    87: 9,
}
"""How many bytes of parameters a market has, if any, by its number."""
LAST_MARKET = 90
"""The last number whose parameters are known."""
_SLICES = {47: 1, 75: 0}
"""Markets whose parameters end with a list of slices of the accounts, and how many bytes come before it. For the first
it is optional: another byte marks whether it is there."""
_OPTIONAL = 47
_SLICE_BYTES = 2


@dataclass(frozen=True, slots=True)
class _Form:
    """Where an instruction has its accounts, and how many bytes come before the route. `hands_on`: it hands the
    wallet's accounts and signature on to the programs of the markets."""

    skipped: int
    signer: int
    source: int
    target: int
    absent: tuple[int, ...]
    mints: tuple[int | None, int]
    program: int
    token_2022: int | None = None
    hands_on: bool = False


_FORMS = {
    ROUTE: _Form(8, signer=1, source=2, target=3, absent=(4, 6), mints=(None, 5), program=8, hands_on=True),
    SHARED_ACCOUNTS_ROUTE: _Form(9, signer=2, source=3, target=6, absent=(9,), mints=(7, 8), program=12, token_2022=10),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """What the order allows: the wallet, its accounts of the two mints, and the bounds in base units. `hands_on`: the
    programs of markets may get the wallet's signature."""

    payer: str
    source: TokenAccount
    target: TokenAccount
    amount_in: int
    min_out: int
    hands_on: bool = False


def bounded(program: str, step: Instruction, swap: Swap, pools: Collection[str]) -> Instruction:
    """Returns the route's instruction with the bounds of `swap` to the unit. `pools` are those that the quote named.

    Raises `BadAnswer` for an instruction of another swap, and `Unsupported` for one whose form is not known.
    """
    if step.program != program:
        raise BadAnswer(f"Jupiter's route calls {step.program}, not Jupiter's program")
    form = _FORMS.get(step.data[:8])
    if form is None:
        raise Unsupported(f"Jupiter's instruction {step.data[:8].hex()} is not supported")
    if form.hands_on and not swap.hands_on:
        raise Unsupported("Jupiter's route would hand the wallet's signature on to its markets' programs")
    check_plan(step.data[form.skipped : -ARGUMENTS.size])
    _check_accounts(step, form, swap)
    if missing := set(pools) - {meta.address for meta in step.accounts}:
        raise BadAnswer(f"Jupiter's route does not name the pool {min(missing)} of its quote")
    # The API's bound would follow from its quote and the slippage, rounded up, and a limit order's may be tighter. With
    # no slippage, the quoted amount is the bound itself.
    arguments = ARGUMENTS.pack(swap.amount_in, swap.min_out, 0, 0)
    return Instruction(step.program, step.accounts, step.data[: -ARGUMENTS.size] + arguments)


def check_setup(steps: Sequence[Instruction], swap: Swap) -> None:
    """Raises `Unsupported` for anything but opening the wallet's own accounts of the two mints, which the venue does by
    itself."""
    opened = {swap.source.address, swap.target.address}
    for step in steps:
        addresses = [meta.address for meta in step.accounts[:3]]
        opens = step.program == ASSOCIATED_TOKEN and step.data in (b"", b"\0", b"\x01") and len(addresses) == 3
        if not opens or addresses[1] not in opened or addresses[2] != swap.payer:
            raise Unsupported(
                f"Jupiter's route has to be set up by {step.program}, for more than the two tokens: not supported"
            )


def check_plan(plan: bytes) -> None:
    """Raises unless the route ends exactly where the arguments begin.

    The program ignores bytes behind its arguments. If the route ended earlier than it seems, it would read bounds of
    the API's choice, and ignore those that are written at the end.
    """
    if len(plan) < _COUNT.size:
        raise BadAnswer("Jupiter's instruction is cut off")
    (count,) = _COUNT.unpack_from(plan)
    at = _COUNT.size
    if not 0 < count <= MOST_HOPS:
        raise BadAnswer(f"Jupiter's instruction has a route of {count} steps")
    # No step has fewer bytes. So if no byte is left for parameters, the route ends here, whatever its markets are.
    if len(plan) == at + count * STEP_BYTES:
        return
    for _ in range(count):
        if at >= len(plan):
            raise BadAnswer("Jupiter's instruction is cut off")
        at += STEP_BYTES + _parameters(plan, at)
    if at != len(plan):
        raise BadAnswer("Jupiter's instruction has other bytes beside its route and its arguments")


def _parameters(plan: bytes, at: int) -> int:
    """Returns how many bytes of parameters the step has whose market's number is at `at`."""
    market = plan[at]
    if market > LAST_MARKET:
        raise Unsupported(f"Jupiter's market number {market} has parameters that are not known")
    if market not in _SLICES:
        return PARAMETER_BYTES.get(market, 0)
    size = _SLICES[market]
    if market == _OPTIONAL:
        has_list = plan[at + 1 + size : at + 2 + size]
        if has_list not in (b"\0", b"\x01"):
            raise BadAnswer("Jupiter's instruction has an invalid parameter")
        size += 1
        if has_list == b"\0":
            return size
    counted = plan[at + 1 + size : at + 1 + size + _COUNT.size]
    if len(counted) < _COUNT.size:
        raise BadAnswer("Jupiter's instruction is cut off")
    return size + _COUNT.size + _SLICE_BYTES * int.from_bytes(counted, "little")


def _check_accounts(step: Instruction, form: _Form, swap: Swap) -> None:
    metas = step.accounts
    if len(metas) <= form.program:
        raise BadAnswer("Jupiter's instruction lacks accounts")
    if any(meta.signer and meta.address != swap.payer for meta in metas):
        raise BadAnswer("Jupiter's route needs the signature of another key")
    own = {swap.payer, swap.source.address, swap.target.address}
    first_mint, second_mint = form.mints
    expected = {
        0: {TOKEN, TOKEN_2022},
        form.signer: {swap.payer},
        form.source: {swap.source.address},
        form.target: {swap.target.address},
        second_mint: {swap.target.mint},
        form.program: {step.program},
        # An optional account that is absent has the program's address. A fee account would take a part of the output.
        **{place: {step.program} for place in form.absent},
    }
    if first_mint is not None:
        expected[first_mint] = {swap.source.mint}
    if form.token_2022 is not None:
        expected[form.token_2022] = {step.program, TOKEN_2022}
    for place, allowed in expected.items():
        if metas[place].address not in allowed:
            raise BadAnswer(f"Jupiter's route names {metas[place].address} as its account {place}")
    if not metas[form.signer].signer:
        raise BadAnswer("Jupiter's route lacks the wallet's signature")
    # The accounts behind are those of the markets' programs, which no operator has pinned. They may behave well in the
    # simulation only. What they are not given they cannot take.
    places = {form.signer, form.source, form.target}
    if not form.hands_on and any(meta.address in own for place, meta in enumerate(metas) if place not in places):
        raise BadAnswer("Jupiter's route uses the wallet's accounts in another way than the swap needs")
