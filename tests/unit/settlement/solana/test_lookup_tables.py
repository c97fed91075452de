"""Lookup tables: how they are decoded, read and kept, and that a message which uses them reads back as it was meant."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.hash import Hash
from solders.instruction import CompiledInstruction
from solders.message import MessageAddressTableLookup, MessageHeader, MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey

from dexexec.domain import base58
from dexexec.domain.solana import Account, AccountMeta, Accounts, Instruction, SwapInstructions
from dexexec.domain.swap import Blockhash
from dexexec.settlement.solana.compiler import MessageCompiler, VersionChoice
from dexexec.settlement.solana.lookup_table import TABLE_PROGRAM, LookupTable, common_table, read_table
from dexexec.settlement.solana.message import MAX_UNITS, Version, compute_unit_limit
from dexexec.settlement.solana.table_reader import KEPT_SLOTS, MOST_KEPT, MOST_TABLES, TableReader
from dexexec.settlement.solana.transaction import (
    MAX_BYTES,
    PRICE_BYTES,
    TooLarge,
    assemble,
    compile_message,
    parse_message,
    parse_recorded,
)
from dexexec.venue import BadAnswer, Unreachable
from tests.support.swap_transactions import BLOCKHASH, POOL_PROGRAM, WALLET, address, table_of

ACTIVE = 2**64 - 1
TABLE = address("table")
NAMES = [address(f"account {number}") for number in range(40)]
SLOT = 100
BIG = Instruction(POOL_PROGRAM, tuple(AccountMeta(name, writable=True) for name in NAMES), b"swap")
"""A call with 40 accounts, which does not fit into 1,232 bytes without a table."""


def account(
    *addresses: str, deactivated: int = ACTIVE, extended: int = 0, start: int = 0, owner: str = TABLE_PROGRAM
) -> Account:
    """The account of a table."""
    header = (1).to_bytes(4, "little") + deactivated.to_bytes(8, "little") + extended.to_bytes(8, "little")
    header += bytes([start, 1]) + base58.decode(address("authority")) + bytes(2)
    return Account(owner, 1, header + b"".join(map(base58.decode, addresses)))


def test_a_table_has_its_addresses_in_order() -> None:
    assert read_table(TABLE, account(*NAMES), SLOT) == LookupTable(TABLE, tuple(NAMES), SLOT)
    assert read_table(TABLE, account(), SLOT).addresses == ()


def test_what_was_appended_in_a_slot_is_used_from_the_next_one_on() -> None:
    extended = account(*NAMES, extended=SLOT, start=3)
    assert read_table(TABLE, extended, SLOT).addresses == tuple(NAMES[:3])
    assert read_table(TABLE, extended, SLOT + 1).addresses == tuple(NAMES)


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        (None, "does not exist"),
        (account(NAMES[0], owner=POOL_PROGRAM), "is no lookup table"),
        (replace(account(NAMES[0]), data=bytes(56)), "is no lookup table"),
        (replace(account(NAMES[0]), data=account(NAMES[0]).data[:-1]), "is no lookup table"),
        (account(*[NAMES[0]] * 257), "is no lookup table"),
        (account(NAMES[0], deactivated=SLOT), "is being closed"),
    ],
    ids=["absent", "another program", "uninitialised", "cut off", "257 addresses", "deactivated"],
)
def test_anything_but_an_active_table_is_refused_with_its_address(shown: Account | None, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        read_table(TABLE, shown, SLOT)
    assert TABLE in str(refused.value)


@given(st.binary(max_size=200), st.integers(0, 2**40))
def test_bytes_of_anybody_are_read_or_refused(data: bytes, slot: int) -> None:
    try:
        table = read_table(TABLE, Account(TABLE_PROGRAM, 1, b"\x01\0\0\0" + data), slot)
    except ValueError:
        return
    assert len(table.addresses) <= 5


def test_a_node_that_is_behind_lacks_the_newest_addresses_only() -> None:
    newer, older = LookupTable(TABLE, tuple(NAMES[:5]), 9), LookupTable(TABLE, tuple(NAMES[:3]), 7)
    assert common_table([newer, older]) == LookupTable(TABLE, tuple(NAMES[:3]), 7)
    with pytest.raises(ValueError, match="different addresses"):
        common_table([newer, LookupTable(TABLE, (NAMES[1],), 8)])


@dataclass
class Nodes:
    """Nodes by name with the tables that each shows at `slot`."""

    shown: dict[str, dict[str, Account]]
    slot: int = SLOT
    silent: int = 0
    requests: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def node_count(self) -> int:
        return len(self.shown) + self.silent

    async def accounts_everywhere(self, addresses: Sequence[str]) -> dict[str, Accounts]:
        self.requests.append(tuple(addresses))
        return {name: Accounts(self.slot, tuple(map(node.get, addresses))) for name, node in self.shown.items()}


async def test_a_table_is_read_once_for_as_long_as_a_closed_one_would_still_work() -> None:
    nodes = Nodes({"one": {TABLE: account(*NAMES)}})
    reader = TableReader(nodes)
    for slot in (SLOT, SLOT + KEPT_SLOTS, 1):
        [table] = await reader.read([TABLE], slot)
        assert table.addresses == tuple(NAMES)
    assert nodes.requests == [(TABLE,)]
    for slot, again in ((SLOT + KEPT_SLOTS + 1, False), (0, False), (SLOT, True)):
        await reader.read([TABLE], slot, again=again)
    assert len(nodes.requests) == 4


async def test_only_the_tables_that_are_not_kept_are_read() -> None:
    other = address("other table")
    nodes = Nodes({"one": {TABLE: account(NAMES[0]), other: account(NAMES[1])}})
    reader = TableReader(nodes)
    await reader.read([TABLE], SLOT)
    found = await reader.read([other, TABLE, other], SLOT)
    assert [table.address for table in found] == [other, TABLE]
    assert nodes.requests == [(TABLE,), (other,)]


async def test_what_is_kept_is_bounded() -> None:
    tables = {address(f"table {number}"): account(NAMES[0]) for number in range(MOST_KEPT + 1)}
    nodes = Nodes({"one": tables})
    reader = TableReader(nodes)
    for one in tables:
        await reader.read([one], SLOT)
    first, *_, last = tables
    await reader.read([last], SLOT)
    assert len(nodes.requests) == len(tables)
    await reader.read([first], SLOT)
    assert len(nodes.requests) == len(tables) + 1


async def test_one_of_several_nodes_is_not_believed() -> None:
    honest, lying = account(*NAMES), account(*NAMES[1:])
    with pytest.raises(BadAnswer, match="different addresses"):
        await TableReader(Nodes({"one": {TABLE: honest}, "two": {TABLE: lying}})).read([TABLE], SLOT)
    with pytest.raises(Unreachable, match="only one showed") as refused:
        await TableReader(Nodes({"one": {TABLE: honest}}, silent=1)).read([TABLE], SLOT)
    assert refused.value.shared
    with pytest.raises(BadAnswer, match="does not exist"):
        await TableReader(Nodes({"one": {TABLE: honest}, "two": {}})).read([TABLE], SLOT)


@pytest.mark.parametrize(
    "named", [[address(f"t{number}") for number in range(MOST_TABLES + 1)], ["x"], [TABLE, ""], [TABLE[:-9]]]
)
async def test_what_a_venue_names_is_bounded_and_must_be_addresses(named: list[str]) -> None:
    nodes = Nodes({"one": {}})
    with pytest.raises(BadAnswer):
        await TableReader(nodes).read(named, SLOT)
    assert nodes.requests == []


METAS = st.builds(AccountMeta, st.sampled_from([*NAMES[:12], WALLET]), st.just(False), st.booleans())
CALLS = st.builds(
    Instruction, st.sampled_from(NAMES[10:14]), st.lists(METAS, max_size=9).map(tuple), st.binary(max_size=9)
)


@given(st.lists(CALLS, max_size=4).map(tuple), st.lists(st.sets(st.sampled_from(NAMES[:14])), max_size=3))
def test_a_message_with_tables_reads_back_as_one_without(
    steps: tuple[Instruction, ...], contents: list[set[str]]
) -> None:
    tables = [LookupTable(address(f"table {index}"), tuple(sorted(one)), 1) for index, one in enumerate(contents)]
    plain = parse_message(compile_message(WALLET, steps, BLOCKHASH.hash))
    compiled = compile_message(WALLET, steps, BLOCKHASH.hash, tables=tables)
    looked_up = parse_message(compiled, tables=tables)
    assert len(compiled) <= len(compile_message(WALLET, steps, BLOCKHASH.hash))
    assert set(looked_up.writable) == set(plain.writable)
    assert replace(looked_up, writable=plain.writable) == plain
    recorded = parse_recorded(compiled)
    assert (recorded.payer, recorded.signers) == (plain.payer, plain.signers)
    assert [step.program for step in recorded.instructions] == [step.program for step in plain.instructions]


def test_a_table_or_an_index_that_was_not_read_is_refused() -> None:
    table = table_of(BIG)
    message = compile_message(WALLET, (BIG,), BLOCKHASH.hash, tables=[table])
    assert len(parse_message(message, tables=[table]).instructions[0].accounts) == 40
    with pytest.raises(ValueError, match="lookup tables"):
        parse_message(message)
    with pytest.raises(ValueError, match="has no address 39"):
        parse_message(message, tables=[replace(table, addresses=table.addresses[:-1])])


def raw(keys: Sequence[str], lookups: Sequence[MessageAddressTableLookup], program: int = 1) -> bytes:
    """A message with unchecked accounts and lookups."""
    call = CompiledInstruction(program, b"", b"\x00")
    header = MessageHeader(1, 0, 1)
    return to_bytes_versioned(
        MessageV0(header, [Pubkey.from_string(key) for key in keys], Hash.default(), [call], list(lookups))
    )


def test_an_account_has_one_place_in_a_message() -> None:
    """The guard identifies an account by its address: it must not be read-only in one place and writable in another."""
    table = LookupTable(TABLE, (NAMES[0], WALLET, NAMES[0]), 1)
    key = Pubkey.from_string(TABLE)
    keys = [WALLET, POOL_PROGRAM]
    assert parse_message(raw(keys, [MessageAddressTableLookup(key, b"\0", b"")]), tables=[table]).writable == (
        WALLET,
        NAMES[0],
    )
    for writable, readonly in ((b"\0", b"\x02"), (b"\x01", b""), (b"", b"\x01"), (b"\0\0", b"")):
        with pytest.raises(ValueError, match="twice"):
            parse_message(raw(keys, [MessageAddressTableLookup(key, writable, readonly)]), tables=[table])


def test_a_program_of_a_table_is_not_called() -> None:
    table = LookupTable(TABLE, (NAMES[0],), 1)
    lookup = MessageAddressTableLookup(Pubkey.from_string(TABLE), b"", b"\0")
    with pytest.raises(ValueError, match="calls a program"):
        parse_message(raw([WALLET, POOL_PROGRAM], [lookup], program=2), tables=[table])
    # And none is put there: it stays in the message, as a signer does.
    step = Instruction(NAMES[0], (AccountMeta(NAMES[1], signer=True), AccountMeta(NAMES[2])), b"")
    compiled = compile_message(WALLET, (step, BIG), BLOCKHASH.hash, tables=[table_of(step, BIG)])
    assert parse_message(compiled, tables=[table_of(step, BIG)]).signers == (WALLET, NAMES[1])


UNSIGNED = SwapInstructions((BIG,), Blockhash(BLOCKHASH.hash, 150, slot=SLOT), lookup_tables=(TABLE,))
STEPS = (compute_unit_limit(MAX_UNITS), BIG)


def reader_of(nodes: Nodes) -> TableReader:
    return TableReader(nodes)


@pytest.mark.parametrize(
    ("choice", "executes", "version", "reads"),
    [
        (VersionChoice.V0, True, Version.V0, 1),
        (VersionChoice.AUTO, False, Version.V0, 1),
        (VersionChoice.AUTO, True, Version.V1, 0),
        (VersionChoice.V1, True, Version.V1, 0),
    ],
)
async def test_tables_are_read_for_what_does_not_fit_without_them(
    choice: VersionChoice, *, executes: bool, version: Version, reads: int
) -> None:
    nodes = Nodes({"one": {TABLE: account(*NAMES)}})
    compiler = MessageCompiler(choice, lambda: executes, reader_of(nodes))
    message, tables = await compiler.compile(WALLET, STEPS, UNSIGNED)
    assert parse_message(message, tables=tables).version is version
    assert len(assemble(message, [WALLET], {})) <= MAX_BYTES[version] - PRICE_BYTES
    assert len(nodes.requests) == reads
    # What fits needs none, although the swap names one.
    await compiler.compile(WALLET, STEPS[:1], UNSIGNED)
    assert len(nodes.requests) == reads


async def test_a_swap_that_fits_with_no_table_is_refused_with_its_size() -> None:
    nodes = Nodes({"one": {TABLE: account(*NAMES[:2])}})
    with pytest.raises(TooLarge, match=r"would have 1519 bytes or more: at most 1232 fit"):
        await MessageCompiler(tables=reader_of(nodes)).compile(WALLET, STEPS, UNSIGNED)
    assert len(nodes.requests) == 2, "an extended table may help"
    with pytest.raises(TooLarge, match="at most 1232 fit"):
        await MessageCompiler().compile(WALLET, STEPS, UNSIGNED)
    unnamed = replace(UNSIGNED, lookup_tables=())
    with pytest.raises(TooLarge, match="at most 1232 fit"):
        await MessageCompiler(tables=reader_of(nodes)).compile(WALLET, STEPS, unnamed)


async def test_a_table_that_was_extended_since_is_read_again() -> None:
    nodes = Nodes({"one": {TABLE: account(*NAMES[:2])}})
    compiler = MessageCompiler(tables=reader_of(nodes))
    with pytest.raises(TooLarge):
        await compiler.compile(WALLET, STEPS, UNSIGNED)
    nodes.shown["one"][TABLE] = account(*NAMES)
    _, tables = await compiler.compile(WALLET, STEPS, UNSIGNED)
    assert tables[0].addresses == tuple(NAMES)
