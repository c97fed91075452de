"""An account of Token-2022 is emptied and closed as any other, by its own program, on a real chain."""

from dataclasses import replace
from pathlib import Path

import pytest
from solders.pubkey import Pubkey
from spl.token.constants import TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID

from dexexec.clock import SystemClock
from dexexec.domain.closing import Closing
from dexexec.domain.solana import Instruction
from dexexec.settlement.guard_errors import GuardError, Rule
from dexexec.venue import AccountChanged
from tests.support.attempts import an_attempt
from tests.support.localnet.sealing_setup import SealingSetup, close_account, sealing_setup
from tests.support.localnet.spl_tokens import ata, make_mint, mint_tokens
from tests.support.swap_transactions import CLUSTER_RENT, MAX_IN, call

pytestmark = pytest.mark.usefixtures("both_ways")

PROGRAMS = pytest.mark.parametrize("program", [TOKEN_PROGRAM_ID, TOKEN_2022_PROGRAM_ID], ids=["spl", "2022"])
IMMUTABLE_OWNER_SIZE = 170
"""Bytes of an associated account of Token-2022: its owner can never change, which is an extension."""


async def sells_all_of(at: SealingSetup, program: Pubkey, held: int = MAX_IN) -> tuple[str, tuple[Instruction, ...]]:
    """A new mint of `program` of which our wallet holds `held`, and the steps that pay `MAX_IN` of it."""
    mint = await make_mint(at.net, at.venue.key, program)
    await mint_tokens(at.net, at.venue.key, mint, 1, program)
    await mint_tokens(at.net, at.venue.key, mint, held, program, owner=at.key.pubkey())
    await at.net.advance(2)
    ours, theirs = (str(ata(owner, mint, program)) for owner in (at.key.pubkey(), at.venue.key.pubkey()))
    data = b"\x0c" + MAX_IN.to_bytes(8, "little") + b"\x06"
    pays = call(str(program), data, ours, str(mint), theirs, at.wallet, signers=[at.wallet])
    return str(mint), (at.opens(), pays, at.gets())


@PROGRAMS
async def test_the_balance_is_read_and_the_account_is_closed_by_its_own_program(
    tmp_path: Path, program: Pubkey
) -> None:
    async with sealing_setup(tmp_path) as at:
        mint, steps = await sells_all_of(at, program)
        account = str(ata(at.key.pubkey(), Pubkey.from_string(mint), program))
        spendable = await at.sealer().spendable(mint)
        assert (spendable.account, spendable.available) == (account, MAX_IN)
        before = await at.net.balance(at.key.pubkey())
        until = SystemClock().monotonic() + 60
        unsigned = await at.build(*steps)
        sealed = await at.sealer().seal(at.venue, at.quote(mint), unsigned, until, an_attempt(), close_account=True)
        size = IMMUTABLE_OWNER_SIZE if program == TOKEN_2022_PROGRAM_ID else 165
        rent = CLUSTER_RENT.exempt(size)
        assert sealed.closing == Closing(address=account, rent=rent)
        await at.lands(sealed.signed)
        await at.net.advance(2)
        assert (await at.chain.accounts([account])).found == (None,)
        # It paid the rent of the account that it opened, and got that of the closed one.
        assert await at.net.balance(at.key.pubkey()) == before - 2_039_280 + rent - 2 * 5_000
        assert (await at.sealer().spendable(mint)).available == 0


async def test_a_venue_cannot_close_the_account_itself(tmp_path: Path) -> None:
    async with sealing_setup(tmp_path) as at:
        mint, steps = await sells_all_of(at, TOKEN_PROGRAM_ID)
        account = str(ata(at.key.pubkey(), Pubkey.from_string(mint)))
        unsigned = await at.build(*steps, close_account(account, at.wallet))
        for close in (False, True):
            with pytest.raises(GuardError) as caught:
                await at.sealer().seal(
                    at.venue,
                    at.quote(mint),
                    unsigned,
                    SystemClock().monotonic() + 60,
                    an_attempt(),
                    close_account=close,
                )
            assert caught.value.rule is Rule.CLOSE


async def test_a_swap_that_takes_less_than_all_is_not_signed_with_the_closing(tmp_path: Path) -> None:
    async with sealing_setup(tmp_path) as at:
        mint, steps = await sells_all_of(at, TOKEN_PROGRAM_ID)
        opens, pays, gets = steps
        less = replace(pays, data=b"\x0c" + (MAX_IN - 1).to_bytes(8, "little") + b"\x06")
        unsigned = await at.build(opens, less, gets)
        with pytest.raises(AccountChanged, match="still holds tokens"):
            await at.sealer().seal(
                at.venue, at.quote(mint), unsigned, SystemClock().monotonic() + 60, an_attempt(), close_account=True
            )
