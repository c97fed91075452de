"""Sealing on the localnet: a venue that takes more than its swap is refused before anything is signed."""

from collections.abc import Callable
from pathlib import Path

import pytest
from solders.pubkey import Pubkey

from dexexec.domain.solana import Instruction
from dexexec.domain.token import WSOL
from dexexec.settlement.guard_errors import GuardError, Rule
from dexexec.settlement.solana.message import Program
from dexexec.venue import (
    Timeout,
)
from tests.support.localnet.in_process import SOL
from tests.support.localnet.sealing_setup import STRANGER, SealingSetup, sealing_setup
from tests.support.localnet.spl_tokens import mint_tokens
from tests.support.message_versions import version  # noqa: F401 - runs each test once per version
from tests.support.swap_transactions import MAX_IN, MIN_OUT, call, open_account, pay

pytestmark = pytest.mark.usefixtures("both_ways")

# Greedy ones


GREEDY: dict[str, tuple[Rule, Callable[[SealingSetup], tuple[Instruction, ...]]]] = {
    "takes more than max-in": (Rule.TRANSFER, lambda at: (at.opens(), at.pays(MAX_IN + 1), at.gets())),
    "takes more than max-in, in parts": (Rule.TRANSFER, lambda at: (*at.honest(), at.pays(1))),
    "takes another token of ours": (Rule.TRANSFER, lambda at: (*at.honest(), at.pays(1, at.other))),
    "approves a delegate": (
        Rule.TOKEN,
        lambda at: (
            *at.honest(),
            call(Program.TOKEN, b"\x04" + bytes(8), at.own_account(at.other), STRANGER, at.wallet, signers=[at.wallet]),
        ),
    ),
    "hands another token account of ours to its program": (
        Rule.UNTRADED,
        lambda at: at.calls(at.own_account(at.other)),
    ),
    "calls another program": (Rule.PROGRAMS, lambda at: (*at.honest(), call(STRANGER, b"", at.wallet))),
    "builds for another payer": (
        Rule.SIGNERS,
        lambda at: (open_account(STRANGER, at.wallet, at.mint_out), *at.honest()[1:]),
    ),
    "pays less than min-out": (Rule.RECEIVED, lambda at: (at.opens(), at.pays(), at.gets(MIN_OUT - 1))),
    "takes a tip": (Rule.SYSTEM, lambda at: (*at.honest(), pay(at.wallet, STRANGER, SOL))),
    "has us open its accounts": (Rule.ASSOCIATED, lambda at: (*at.honest(), open_account(at.wallet, STRANGER, WSOL))),
    "raises its own priority fee": (
        Rule.COMPUTE,
        lambda at: (*at.honest(), Instruction(Program.COMPUTE_BUDGET, (), b"\x03" + bytes(7) + b"\x01")),
    ),
}


@pytest.mark.parametrize("name", GREEDY)
async def test_the_message_of_a_greedy_venue_is_refused_before_signing(tmp_path: Path, name: str) -> None:
    rule, steps = GREEDY[name]
    async with sealing_setup(tmp_path) as at:
        with pytest.raises(GuardError) as caught:
            await at.seal(*steps(at))
        assert caught.value.rule is rule
        assert at.venue.cosign_requests == ()
        assert at.chain.simulated == (1 if rule is Rule.RECEIVED else 0), "what can be refused at once is not simulated"


def authority(at: SealingSetup, account: str, kind: int, new: str) -> Instruction:
    """SetAuthority (kind 2: owner, 3: close)."""
    data = bytes([6, kind, 1]) + bytes(Pubkey.from_string(new))
    return call(Program.TOKEN, data, account, at.wallet, signers=[at.wallet])


INSIDE: dict[str, tuple[Rule | None, Callable[[SealingSetup], tuple[Instruction, ...]]]] = {
    "swaps": (None, lambda at: (at.pays(), at.gets())),
    "takes more than max-in": (Rule.SPENT, lambda at: (at.pays(MAX_IN + 1), at.gets())),
    "pays less than min-out": (Rule.RECEIVED, lambda at: (at.pays(), at.gets(MIN_OUT - 1))),
    "approves a delegate": (
        Rule.DELEGATE,
        lambda at: (
            at.pays(),
            at.gets(),
            call(
                Program.TOKEN,
                b"\x04\x01" + bytes(7),
                at.own_account(at.mint_in),
                STRANGER,
                at.wallet,
                signers=[at.wallet],
            ),
        ),
    ),
    "gives our account away": (
        Rule.OWNER,
        lambda at: (at.pays(), at.gets(), authority(at, at.own_account(at.mint_in), 2, STRANGER)),
    ),
    "lets a stranger close our account": (
        Rule.CLOSE_AUTHORITY,
        lambda at: (at.pays(), at.gets(), authority(at, at.own_account(at.mint_out), 3, STRANGER)),
    ),
    "takes lamports": (Rule.LAMPORTS, lambda at: (at.pays(), at.gets(), pay(at.wallet, at.vault, 1))),
    "takes our wallet": (
        Rule.WALLET,
        lambda at: (
            at.pays(),
            at.gets(),
            call(Program.SYSTEM, b"\x08\0\0\0\x01" + bytes(7), at.wallet, signers=[at.wallet]),
        ),
    ),
}


@pytest.mark.parametrize("name", INSIDE)
async def test_the_effects_of_a_venues_program_are_refused_before_signing(tmp_path: Path, name: str) -> None:
    rule, inside = INSIDE[name]
    async with sealing_setup(tmp_path) as at:
        at.chain.inside = inside(at)
        found = None
        try:
            await at.seal(*at.calls())
        except GuardError as error:
            found = error.rule
        assert found is rule
        assert len(at.venue.cosign_requests) == (1 if rule is None else 0)


async def test_what_others_do_to_our_wallet_meanwhile_is_not_taken_for_the_swaps_doing(tmp_path: Path) -> None:
    async with sealing_setup(tmp_path) as at:

        async def paid() -> None:
            mint = Pubkey.from_string(at.mint_in)
            await mint_tokens(at.net, at.venue.key, mint, 10, owner=at.key.pubkey())
            await at.net.advance(3)

        async def passed() -> None:
            await at.net.advance(3)

        at.chain.inside = (at.pays(MAX_IN + 1), at.gets())
        at.chain.meanwhile = (paid, passed)
        with pytest.raises(GuardError, match="101 would be spent"):
            await at.seal(*at.calls())
        assert at.chain.simulated == 2, "again from where it was changed, and then only the time had passed"
        at.chain.meanwhile = (paid,) * 10
        with pytest.raises(Timeout, match="changed during each simulation"):
            await at.seal(*at.calls())


# Swaps that would fail
