"""Messages of version 1: their header instead of compute budget instructions, their size, and when they are built."""

from dataclasses import replace

import pytest
from solders.hash import Hash
from solders.message import MessageV1, TransactionConfig, to_bytes_versioned
from solders.pubkey import Pubkey

from dexexec.domain.solana import Account, AccountMeta, Accounts, Instruction, SwapInstructions
from dexexec.settlement.guard_errors import GuardError, Rule
from dexexec.settlement.solana.compiler import MessageCompiler, VersionChoice
from dexexec.settlement.solana.guard.message_rules import check_message
from dexexec.settlement.solana.message import (
    MAX_DATA_BYTES,
    MAX_UNITS,
    Message,
    MessageConfig,
    Program,
    Version,
    budget,
    compute_unit_limit,
    compute_unit_price,
    memo,
    network_fee,
)
from dexexec.settlement.solana.transaction import MAX_BYTES, TooLarge, assemble, compile_message, parse_message
from dexexec.settlement.solana.version_support import FEATURE_PROGRAM, VERSION_1_FEATURE, VersionSupport
from dexexec.testing.clock import ManualClock
from dexexec.venue import Unreachable, Unsupported
from tests.support.swap_transactions import BLOCKHASH, RULES, STEPS, WALLET, Swap, address, compiled_as

HEAP = Instruction(Program.COMPUTE_BUDGET, (), b"\x01" + (64 * 1024).to_bytes(4, "little"))
DATA = Instruction(Program.COMPUTE_BUDGET, (), b"\x04" + (5_000).to_bytes(4, "little"))


def compiled(*steps: Instruction, version: Version = Version.V1) -> Message:
    return parse_message(compile_message(WALLET, steps, BLOCKHASH.hash, version))


def test_the_header_has_what_the_instructions_of_version_0_say() -> None:
    steps = (compute_unit_limit(200_001), compute_unit_price(999), HEAP, DATA, memo("n"))
    first, second = compiled(*steps, version=Version.V0), compiled(*steps)
    assert second.config == MessageConfig(limit=200_001, priority_fee=200, data_size=5_000, heap_size=65_536)
    assert second.instructions == (memo("n"),)
    assert budget(second) == budget(first)
    assert network_fee(second) == network_fee(first) == 5_200


def test_without_a_limit_of_its_own_a_message_may_load_as_much_as_one_of_version_0() -> None:
    assert compiled(memo("n")).config == MessageConfig(data_size=MAX_DATA_BYTES)


@pytest.mark.parametrize(
    "step",
    [
        compute_unit_limit(5),
        Instruction(Program.COMPUTE_BUDGET, (), b"\x02\x01"),
        Instruction(Program.COMPUTE_BUDGET, (), b"\x09" + bytes(4)),
        Instruction(Program.COMPUTE_BUDGET, (), b""),
    ],
    ids=["a second limit", "cut off", "unknown", "empty"],
)
def test_what_the_header_cannot_say_stays_an_instruction_and_is_refused(step: Instruction) -> None:
    assert compiled(compute_unit_limit(7), step).instructions == (step,)
    with compiled_as(Version.V1), pytest.raises(GuardError) as caught:
        Swap().and_step(step).check_message()
    assert caught.value.rule is Rule.COMPUTE
    assert "version 1 has a compute budget instruction" in str(caught.value)


@pytest.mark.parametrize(
    ("config", "allowed"),
    [
        (MessageConfig(limit=200_000, priority_fee=200, data_size=1), True),
        (MessageConfig(limit=200_000, priority_fee=201, data_size=1), False),
        (MessageConfig(limit=0, priority_fee=0, data_size=1), False),
        (MessageConfig(limit=0, priority_fee=1, data_size=1), False),
        (MessageConfig(limit=MAX_UNITS, priority_fee=1_400, data_size=1), True),
        (MessageConfig(limit=MAX_UNITS + 1, priority_fee=0, data_size=1), False),
        (MessageConfig(limit=1, priority_fee=2**64 - 1, data_size=1), False),
    ],
)
def test_the_priority_fee_in_lamports_is_at_most_what_the_highest_price_makes(
    config: MessageConfig, *, allowed: bool
) -> None:
    with compiled_as(Version.V1):
        proposal = Swap().proposal()
    proposal = replace(proposal, message=replace(proposal.message, config=config))
    if allowed:
        check_message(RULES, proposal)
        return
    with pytest.raises(GuardError) as caught:
        check_message(RULES, proposal)
    assert caught.value.rule is Rule.COMPUTE


def sized(size: int) -> Instruction:
    """An instruction that makes a transaction of version 1 this large."""
    return memo(
        "x" * (size - len(assemble(compile_message(WALLET, (memo(""),), BLOCKHASH.hash, Version.V1), [WALLET], {})))
    )


def test_a_transaction_has_up_to_four_kilobytes() -> None:
    message = compile_message(WALLET, (sized(4_096),), BLOCKHASH.hash, Version.V1)
    assert len(assemble(message, [WALLET], {})) == MAX_BYTES[Version.V1] == 4_096
    assert parse_message(message).version is Version.V1
    with pytest.raises(TooLarge, match="4097 bytes or more: at most 4096 fit"):
        compile_message(WALLET, (sized(4_097),), BLOCKHASH.hash, Version.V1)


def test_a_transaction_has_up_to_64_accounts_and_64_instructions() -> None:
    # The wallet and the program are two of the accounts.
    metas = tuple(AccountMeta(address(str(number))) for number in range(62))
    assert len(compiled(Instruction(Program.MEMO, metas, b"")).instructions[0].accounts) == 62
    with pytest.raises(Unsupported, match="do not fit"):
        compiled(Instruction(Program.MEMO, (*metas, AccountMeta(address("one more"))), b""))
    assert len(compiled(*[memo("")] * 64).instructions) == 64
    with pytest.raises(Unsupported, match="do not fit"):
        compiled(*[memo("")] * 65)


def test_every_byte_of_a_message_is_read() -> None:
    message = compile_message(WALLET, STEPS, BLOCKHASH.hash, Version.V1)
    for other in (message + b"\0", message[:-1], b"\x82" + message[1:], message[:5] + b"\x01" + message[6:]):
        with pytest.raises(ValueError):
            parse_message(other)
    # 4,096 bytes of message leave no room for a signature, and are still bounded.
    key = Pubkey.from_string(WALLET)
    large = MessageV1.try_compile(key, [], Hash.default(), TransactionConfig())
    with pytest.raises(ValueError, match="fits into no transaction"):
        parse_message(to_bytes_versioned(large) + bytes(4_096))


BIG = (compute_unit_limit(1), memo("x" * 1_100))
"""1,220 bytes fit into version 0 with a price, and these do not."""


@pytest.mark.parametrize(
    ("choice", "executes", "steps", "version"),
    [
        (VersionChoice.AUTO, True, STEPS, Version.V0),
        (VersionChoice.AUTO, False, STEPS, Version.V0),
        (VersionChoice.AUTO, True, BIG, Version.V1),
        (VersionChoice.AUTO, False, BIG, None),
        (VersionChoice.V0, True, STEPS, Version.V0),
        (VersionChoice.V0, True, BIG, None),
        (VersionChoice.V1, False, STEPS, Version.V1),
        (VersionChoice.V1, True, BIG, Version.V1),
    ],
)
def test_version_1_is_built_where_it_helps_and_the_cluster_executes_it(
    choice: VersionChoice, *, executes: bool, steps: tuple[Instruction, ...], version: Version | None
) -> None:
    compiler = MessageCompiler(choice, lambda: executes)
    if version is None:
        with pytest.raises(TooLarge):
            compiler.draft(WALLET, steps, BLOCKHASH.hash)
        return
    assert parse_message(compiler.draft(WALLET, steps, BLOCKHASH.hash)).version is version


@pytest.mark.parametrize(
    ("choice", "executes", "big"),
    [
        (VersionChoice.AUTO, True, True),
        (VersionChoice.AUTO, False, False),
        (VersionChoice.V0, True, False),
        (VersionChoice.V1, False, True),
    ],
)
def test_what_most_likely_fits_is_seen_before_it_is_built_for_a_wallet(
    choice: VersionChoice, *, executes: bool, big: bool
) -> None:
    compiler = MessageCompiler(choice, lambda: executes)
    assert compiler.fits(SwapInstructions(STEPS[1:], BLOCKHASH), WALLET)
    assert compiler.fits(SwapInstructions(BIG[1:], BLOCKHASH), WALLET) is big


def test_what_fits_only_without_its_priority_fee_is_of_version_1_from_the_start() -> None:
    compiler = MessageCompiler(VersionChoice.AUTO, lambda: True)
    empty = len(assemble(compile_message(WALLET, (compute_unit_limit(1), memo("")), BLOCKHASH.hash), [WALLET], {}))
    for room, version in ((12, Version.V0), (11, Version.V1)):
        steps = (compute_unit_limit(1), memo("x" * (1_232 - empty - 1 - room)))
        drafted = parse_message(compiler.draft(WALLET, steps, BLOCKHASH.hash)).version
        assert drafted is version
        compile_message(WALLET, (compute_unit_price(2**40), *steps), BLOCKHASH.hash, drafted)


class Nodes:
    """Nodes that show the feature's account, or do not answer (None)."""

    def __init__(self, *answers: Account | Unreachable | None) -> None:
        self.answers = list(answers)
        self.requests = 0

    async def accounts(self, addresses: object) -> Accounts:
        assert addresses == [VERSION_1_FEATURE]
        self.requests += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Unreachable):
            raise answer
        return Accounts(1, (answer,))


def feature(data: bytes, owner: str = FEATURE_PROGRAM) -> Account:
    return Account(owner, 1, data)


@pytest.mark.parametrize(
    ("account", "active"),
    [
        (feature(b"\x01" + bytes(8)), True),
        (feature(bytes(9)), False),
        (feature(b""), False),
        (feature(b"\x01" + bytes(8), Program.SYSTEM), False),
        (None, False),
    ],
    ids=["active", "requested", "empty", "somebody else's", "unknown"],
)
async def test_a_feature_is_active_when_its_account_shows_it(account: Account | None, *, active: bool) -> None:
    support = VersionSupport(Nodes(account), ManualClock())
    assert not support.executes_v1()
    assert await support.read() is active
    assert support.executes_v1() is active


async def test_an_active_feature_is_not_read_again() -> None:
    nodes = Nodes(None, Unreachable("away"), feature(b"\x01" + bytes(8)))
    support = VersionSupport(nodes, ManualClock())
    assert not await support.read()
    with pytest.raises(Unreachable):
        await support.read()
    assert await support.read()
    assert await support.read()
    assert nodes.requests == 3
