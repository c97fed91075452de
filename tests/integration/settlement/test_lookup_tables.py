"""Swaps that fit into a transaction only with lookup tables, on the localnet: checked, signed and landed."""

from dataclasses import replace
from pathlib import Path

import pytest
from solders.pubkey import Pubkey

from dexexec.bootstrap.background import running
from dexexec.clock import SystemClock
from dexexec.domain.attempt_id import UNNAMED
from dexexec.domain.solana import AccountMeta, Instruction
from dexexec.domain.swap import Landed, SignedSwap
from dexexec.domain.transaction_bytes import split
from dexexec.recovery.own_transactions import read_own
from dexexec.settlement.guard_errors import GuardError, Rule
from dexexec.settlement.sealing import ClientSignatureNeeded
from dexexec.settlement.solana.checker import SwapChecker
from dexexec.settlement.solana.client_sealer import ClientSealer
from dexexec.settlement.solana.co_signer import CoSigner
from dexexec.settlement.solana.compiler import MessageCompiler
from dexexec.settlement.solana.guard.message_rules import GuardRules
from dexexec.settlement.solana.guard.pinned_programs import Pins
from dexexec.settlement.solana.message import Program
from dexexec.settlement.solana.table_reader import TableReader
from dexexec.settlement.solana.transaction import TooLarge, parse_message, parse_recorded
from dexexec.settlement.solana.wallet import Wallet
from dexexec.venue import BadAnswer, Unsupported
from tests.support.attempts import an_attempt
from tests.support.localnet.lookup_tables import UNTIL_CONFIRMED, deactivate_table, extend_table, make_table
from tests.support.localnet.sealing_setup import HELD, OUT, PROGRAM, SealingSetup, sealing_setup
from tests.support.sealers import solana_sealer
from tests.support.swap_transactions import MAX_IN

OTHERS = [str(Pubkey.new_unique()) for _ in range(34)]
WITH_MANY_ACCOUNTS = Instruction(
    Program.COMPUTE_BUDGET, tuple(map(AccountMeta, OTHERS)), b"\x01" + (64 * 1024).to_bytes(4, "little")
)
"""It has no need of its accounts, so that any may be named."""


class Tables:
    """The setup's swaps with so many accounts that they need tables."""

    def __init__(self, at: SealingSetup) -> None:
        self.at = at
        self.compiler = MessageCompiler(tables=TableReader(at.chain))

    async def seal(self, *tables: str, steps: tuple[Instruction, ...] = ()) -> SignedSwap:
        at = self.at
        unsigned = replace(await at.build(*(steps or at.honest()), WITH_MANY_ACCOUNTS), lookup_tables=tables)
        rules = GuardRules(1_000_000, pins=Pins({"pool": frozenset({PROGRAM})}))
        wallet = Wallet(at.key.secret())
        sealer = solana_sealer(at.chain, wallet, rules, SystemClock(), rent=at.chain.rent, compiler=self.compiler)
        until = SystemClock().monotonic() + 60
        return (await sealer.seal(at.venue, at.quote(), unsigned, until, an_attempt())).signed

    async def table(self, *addresses: str) -> str:
        return await make_table(self.at.net, self.at.venue.key, addresses)


async def test_a_swap_that_fits_only_with_a_table_lands_with_it(tmp_path: Path) -> None:
    async with sealing_setup(tmp_path) as at:
        tables = Tables(at)
        with pytest.raises(TooLarge, match="at most 1232 fit"):
            await tables.seal()
        # Also the accounts of the swap itself, and the wallet's own: an account is known by its address.
        inside = [meta.address for step in at.honest() for meta in step.accounts]
        table = await tables.table(*dict.fromkeys([*OTHERS, *inside]))
        signed = await tables.seal(table)
        message = split(signed.payload).message
        with pytest.raises(ValueError, match="lookup tables"):
            parse_message(message)
        assert {
            meta.address.partition("#")[0] for step in parse_recorded(message).instructions for meta in step.accounts
        }
        await at.lands(signed)
        assert await at.amount(at.own_account(at.mint_in)) == HELD - MAX_IN
        assert await at.amount(at.own_account(at.mint_out)) == OUT


async def test_what_landed_with_a_table_is_looked_up_and_recognised(tmp_path: Path) -> None:
    async with sealing_setup(tmp_path) as at, running([at.chain.run]):
        tables = Tables(at)
        signed = await tables.seal(await tables.table(*OTHERS, at.own_account(at.mint_in), at.own_account(at.mint_out)))
        await at.lands(signed)
        await at.net.advance(40)
        [status] = await at.chain.status([signed.signature])
        assert isinstance(status, Landed)
        assert (status.moved[at.mint_in], status.moved[at.mint_out]) == (-MAX_IN, OUT)
        kept = await at.chain.kept_transaction(signed.signature)
        assert kept is not None
        found = read_own(kept.payload, at.wallet, {"pool": frozenset({PROGRAM})})
        assert found is not None
        assert found[0].record == UNNAMED


async def test_the_guard_sees_our_account_behind_an_index(tmp_path: Path) -> None:
    """A pool that is handed our account of a token which is not traded, in a table instead of in the message."""
    async with sealing_setup(tmp_path) as at:
        tables = Tables(at)
        stolen = at.own_account(at.other)
        table = await tables.table(*OTHERS, stolen)
        with pytest.raises(GuardError) as refused:
            await tables.seal(table, steps=(*at.calls(stolen), *at.honest()[1:]))
        assert refused.value.rule is Rule.UNTRADED
        assert stolen in str(refused.value)


async def test_a_table_that_is_closing_or_none_is_refused(tmp_path: Path) -> None:
    async with sealing_setup(tmp_path) as at:
        tables = Tables(at)
        with pytest.raises(BadAnswer, match="does not exist"):
            await tables.seal(str(Pubkey.new_unique()))
        with pytest.raises(BadAnswer, match="is no lookup table"):
            await tables.seal(at.own_account(at.mint_in))
        table = await tables.table(*OTHERS)
        await deactivate_table(at.net, at.venue.key, table)
        await at.net.advance(UNTIL_CONFIRMED)
        with pytest.raises(BadAnswer, match="is being closed"):
            await tables.seal(table)


async def test_an_extended_table_is_used_from_the_next_slot_on(tmp_path: Path) -> None:
    async with sealing_setup(tmp_path) as at:
        tables = Tables(at)
        table = await tables.table(*OTHERS[:3])
        with pytest.raises(Unsupported, match="bytes"):
            await tables.seal(table)
        await extend_table(at.net, at.venue.key, table, OTHERS[3:20])
        await extend_table(at.net, at.venue.key, table, OTHERS[20:])
        await at.net.advance(UNTIL_CONFIRMED)
        await at.lands(await tables.seal(table))


async def test_a_client_signs_a_swap_with_a_table_itself(tmp_path: Path) -> None:
    async with sealing_setup(tmp_path) as at:
        tables = Tables(at)
        table = await tables.table(*OTHERS)
        unsigned = replace(await at.build(*at.honest(), WITH_MANY_ACCOUNTS), lookup_tables=(table,))
        co_signer = CoSigner(b"secret of the record")
        checker = SwapChecker(
            at.chain,
            at.wallet,
            GuardRules(1_000_000),
            SystemClock(),
            rent=at.chain.rent,
            co_signer=co_signer.address,
            compiler=tables.compiler,
        )
        until = SystemClock().monotonic() + 60
        with pytest.raises(ClientSignatureNeeded) as handed:
            await ClientSealer(checker, co_signer).seal(at.venue, at.quote(), unsigned, until, an_attempt())
        assert len(handed.value.checked.message) < 1_232
