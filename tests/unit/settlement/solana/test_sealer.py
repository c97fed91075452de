"""What the sealer makes of a node's answers, on a node whose answers are written down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import pytest
from solders.keypair import Keypair

from dexexec.domain.quote import Quote, SwapRequest
from dexexec.domain.solana import Account, Accounts, Instruction, Simulation, SwapInstructions
from dexexec.domain.swap import Blockhash, ProgramFailure
from dexexec.domain.token import Tokens
from dexexec.settlement.guard_errors import GuardError
from dexexec.settlement.sealing import Sealed
from dexexec.settlement.solana.fresh_accounts import FRESHER_PAUSES
from dexexec.settlement.solana.guard.message_rules import GuardRules
from dexexec.settlement.solana.guard.pinned_programs import Pins
from dexexec.settlement.solana.message import Program
from dexexec.settlement.solana.transaction import associated_token_account
from dexexec.settlement.solana.wallet import Wallet
from dexexec.testing.clock import ManualClock
from dexexec.venue import (
    AccountFrozen,
    InsufficientFunds,
    NoOptions,
    SolanaChain,
    Timeout,
    Unreachable,
    Unsigned,
    Venue,
    VenueContext,
    VenueError,
)
from tests.support.attempts import an_attempt
from tests.support.sealers import solana_sealer
from tests.support.swap_transactions import (
    MINT_IN,
    MINT_OUT,
    POOL_PROGRAM,
    SOL,
    VAULT_IN,
    address,
    call,
    quote,
    token_account,
    wallet_account,
)

KEY = Keypair()
WALLET = str(KEY.pubkey())
OURS_IN, OURS_OUT = (associated_token_account(WALLET, mint) for mint in (MINT_IN, MINT_OUT))
SWAP = call(POOL_PROGRAM, b"swap", WALLET, OURS_IN, OURS_OUT, VAULT_IN, signers=[WALLET])
FEE = 5_000
State = Mapping[str, Account | None]


def state(held: int = 1_000, got: int = 0, *, lamports: int = SOL, frozen: bool = False) -> State:
    """The wallet and its two token accounts."""
    first = token_account(MINT_IN, held, WALLET, state=2 if frozen else 1)
    return {WALLET: wallet_account(lamports), OURS_IN: first, OURS_OUT: token_account(MINT_OUT, got, WALLET)}


class Pool(Venue[NoOptions]):
    """A venue whose instructions are given."""

    name = "pool"

    def __init__(self) -> None:
        super().__init__(VenueContext(ManualClock(), Tokens(()), cast("SolanaChain", None), NoOptions()))

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        raise AssertionError("sealing asks for no quote")

    async def build(self, quote: Quote, payer: str, blockhash: Blockhash) -> Unsigned:
        raise AssertionError("sealing does not build")

    @property
    def programs(self) -> frozenset[str]:
        return frozenset({POOL_PROGRAM})


@dataclass
class Node:
    """Shows accounts as of slots, one answer after the other, the last again and again; a simulation from `slot` leaves
    `after`, or fails."""

    shown: list[tuple[int, State]]
    slot: int = 10
    after: State = field(default_factory=lambda: state(900, 50, lamports=SOL - FEE))
    failure: ProgramFailure | None = None
    requests: int = 0

    async def accounts(self, addresses: Sequence[str]) -> Accounts:
        slot, accounts = self.shown[min(self.requests, len(self.shown) - 1)]
        self.requests += 1
        return Accounts(slot, tuple(accounts.get(one) for one in addresses))

    async def simulate(self, transaction: bytes, watched: Sequence[str]) -> Simulation:
        if self.failure is not None:
            return Simulation(slot=self.slot, units=1_000, error="it failed", failure=self.failure)
        return Simulation(slot=self.slot, units=1_000, after={one: self.after.get(one) for one in watched})


async def seal(
    node: Node,
    *steps: Instruction,
    quoted: Quote | None = None,
    blockhash_slot: int = 0,
    pinned: frozenset[str] = frozenset({POOL_PROGRAM}),
) -> Sealed:
    rules = GuardRules(0, pins=Pins({quote().venue: pinned}))
    sealer = solana_sealer(cast("SolanaChain", node), Wallet(KEY.secret()), rules, ManualClock())
    unsigned = SwapInstructions(steps or (SWAP,), Blockhash(address("blockhash"), 150, blockhash_slot))
    return await sealer.seal(Pool(), quoted or quote(), unsigned, 10**9, an_attempt())


async def refused(node: Node, *steps: Instruction, blockhash_slot: int = 0) -> VenueError:
    with pytest.raises(VenueError) as caught:
        await seal(node, *steps, blockhash_slot=blockhash_slot)
    return caught.value


async def test_a_swap_that_is_as_quoted_is_signed() -> None:
    assert (await seal(Node([(10, state())]))).signed.last_valid_height == 150


async def test_only_the_operators_pins_count_and_not_the_adapters_own_list() -> None:
    assert Pool().programs == {POOL_PROGRAM}
    with pytest.raises(GuardError, match=f"{POOL_PROGRAM} is not pinned for {quote().venue}"):
        await seal(Node([(10, state())]), pinned=frozenset())
    with pytest.raises(GuardError, match="is not pinned"):
        await seal(Node([(10, state())]), quoted=replace(quote(), venue="another"))


PAYS = call(Program.TOKEN, b"\x03" + (100).to_bytes(8, "little"), OURS_IN, VAULT_IN, WALLET, signers=[WALLET])
UNOPENED: State = {**state(), OURS_IN: None}
"""As it was before our account was opened: a transfer out of it cannot be right, by these accounts."""


async def test_accounts_older_than_the_blockhash_are_a_node_problem_and_no_alarm() -> None:
    error = await refused(Node([(10, UNOPENED)]), PAYS, blockhash_slot=12)
    assert (type(error), error.retryable, error.shared) == (Unreachable, True, True)
    assert "slot 10 after slot 12" in str(error)


async def test_accounts_that_differ_when_read_again_are_no_alarm() -> None:
    error = await refused(Node([(10, UNOPENED), (10, state())]), PAYS)
    assert (type(error), error.shared) == (Unreachable, True)


POOR: State = state(1)
"""As it was before we got what is to be sold."""


async def test_promise_17_a_balance_older_than_the_blockhash_is_no_lack_of_funds() -> None:
    error = await refused(Node([(10, POOR)]), blockhash_slot=12)
    assert (type(error), error.retryable, error.shared) == (Unreachable, True, True)
    assert isinstance(await refused(Node([(10, POOR)]), blockhash_slot=10), InsufficientFunds)


async def test_promise_17_a_balance_that_differs_when_read_again_is_no_lack_of_funds() -> None:
    assert isinstance(await refused(Node([(10, POOR), (10, state())])), Unreachable)


async def test_promise_17_a_lack_of_funds_is_confirmed_as_of_a_later_slot() -> None:
    """Blockhash and balances are of the same old slot, and the first answers after that as well."""
    caught_up = Node([(10, POOR), (10, POOR), (11, POOR), (13, POOR), (14, state())])
    error = await refused(caught_up, blockhash_slot=10)
    assert (type(error), error.retryable, error.shared) == (Unreachable, True, True)
    shown = Node([(slot, POOR) for slot in (10, 10, 11, 13, 14)])
    assert isinstance(await refused(shown, blockhash_slot=10), InsufficientFunds)
    assert shown.requests == 5, "no longer than it takes"
    stopped = Node([(10, POOR)])
    assert isinstance(await refused(stopped, blockhash_slot=10), InsufficientFunds)
    assert stopped.requests == 2 + len(FRESHER_PAUSES), "a chain without new blocks is not waited for"


async def test_promise_17_an_account_that_was_frozen_before_the_blockhash_is_not_frozen_for_good() -> None:
    failure = ProgramFailure(
        index=1, program=POOL_PROGRAM, custom=17, text="custom program error: 0x11", origin=Program.TOKEN
    )
    assert isinstance(await refused(Node([(10, state(frozen=True))], failure=failure), blockhash_slot=12), Unreachable)


async def test_promise_17_a_price_that_moved_is_not_reported_as_a_lack_of_funds_by_old_balances() -> None:
    sealer = solana_sealer(
        cast("SolanaChain", Node([(10, {WALLET: wallet_account(SOL)})])),
        Wallet(KEY.secret()),
        GuardRules(0),
        ManualClock(),
    )
    assert await sealer.shortage(quote(), 10) is not None
    assert await sealer.shortage(quote(), 11) is None
    rich = Node([(10, {WALLET: wallet_account(SOL)}), (14, state())])
    sealer = solana_sealer(cast("SolanaChain", rich), Wallet(KEY.secret()), GuardRules(0), ManualClock())
    assert await sealer.shortage(quote(), 10) is None, "by balances of later"


async def test_accounts_that_stay_the_same_are_an_alarm() -> None:
    assert isinstance(await refused(Node([(10, UNOPENED)]), PAYS, blockhash_slot=9), GuardError)
    assert isinstance(await refused(Node([(10, state())], after=state(800, 50))), GuardError)


async def test_a_simulation_from_other_accounts_than_the_node_shows_is_no_alarm() -> None:
    """The node reports one slot and answers from two states."""
    node = Node([(10, state()), (11, state(900, 50))], after=state(800, 100))
    assert isinstance(error := await refused(node), Unreachable)
    assert error.shared


async def test_a_node_whose_simulation_lags_is_a_node_problem() -> None:
    error = await refused(Node([(10, state())], slot=9))
    assert (type(error), error.shared) == (Timeout, True)


@pytest.mark.parametrize(
    ("ours", "words"),
    [(True, f"our account {OURS_IN}"), (False, "a token account is frozen")],
    ids=["ours", "another"],
)
async def test_a_frozen_account_is_named_and_the_order_not_retried(ours: bool, words: str) -> None:
    failure = ProgramFailure(
        index=1, program=POOL_PROGRAM, custom=17, text="custom program error: 0x11", origin=Program.TOKEN
    )
    error = await refused(Node([(10, state(frozen=ours))], failure=failure))
    assert (type(error), error.code, error.retryable) == (AccountFrozen, "account-frozen", False)
    assert words in str(error)
