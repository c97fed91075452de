"""The guard's first check: the message itself. Each test changes one thing of a good swap, and one rule refuses it."""

from dataclasses import replace
from typing import Any

import pytest

from dexexec.domain import base58
from dexexec.domain.quote import Leg
from dexexec.domain.solana import Account, AccountMeta, Instruction
from dexexec.domain.token import WSOL
from dexexec.settlement.guard_errors import GuardError, Rule
from dexexec.settlement.solana.guard.message_rules import GuardRules, check_message
from dexexec.settlement.solana.message import (
    Program,
    budget,
    compute_unit_limit,
    compute_unit_price,
    memo,
    network_fee,
)
from dexexec.settlement.solana.transaction import associated_token_account
from dexexec.venue import VenueError
from tests.support.attempts import RECORD, an_attempt
from tests.support.swap_transactions import (
    ATTACKER,
    ATTEMPT,
    DEADLINE,
    FEE,
    MAX_IN,
    MEMO,
    MINT_IN,
    MINT_OUT,
    OTHER_MINT,
    OURS_IN,
    OURS_OTHER,
    OURS_OUT,
    POOL_PROGRAM,
    RENT,
    RULES,
    STEPS,
    VAULT_IN,
    VAULT_OUT,
    VENUE,
    WALLET,
    WRAPPED,
    Swap,
    address,
    call,
    open_account,
    pay,
    quote,
    rule_of,
    token,
    token_account,
    transfer,
    transfer_checked,
    wallet_account,
)

NONCE, STAKE = Program.SYSTEM, "Stake11111111111111111111111111111111111111"
GOVERNED_BESIDES = (
    "Vote111111111111111111111111111111111111111",
    "BPFLoaderUpgradeab1e11111111111111111111111",
    "LoaderV411111111111111111111111111111111111",
    "AddressLookupTab1e1111111111111111111111111",
)
AMOUNT = (1).to_bytes(8, "little")


def test_a_good_swap_may_be_signed() -> None:
    Swap().check_message()
    Swap().check()
    assert network_fee(Swap().proposal().message) == FEE


def test_a_refusal_is_an_error_of_its_own_that_names_the_rule_and_is_not_tried_again() -> None:
    with pytest.raises(GuardError, match=r"refused by the guard \(rule deadline\)") as caught:
        replace(Swap(), now=DEADLINE).check()
    assert isinstance(caught.value, VenueError)
    assert (caught.value.code, caught.value.retryable, caught.value.rule) == ("guard", False, Rule.DEADLINE)


def test_the_deadline_is_past_at_the_deadline_and_not_before() -> None:
    assert rule_of(replace(Swap(), now=DEADLINE - 0.001)) is None
    assert rule_of(replace(Swap(), now=DEADLINE)) is Rule.DEADLINE


def test_only_our_wallet_pays_the_fee() -> None:
    with pytest.raises(GuardError) as caught:
        replace(Swap(), payer=VENUE).check_message()
    assert caught.value.rule is Rule.PAYER


def test_only_signers_that_the_venue_declared_sign() -> None:
    assert rule_of(replace(Swap(), cosigners=frozenset())) is Rule.SIGNERS
    assert rule_of(Swap().and_step(pay(ATTACKER, VENUE, 1))) is Rule.SIGNERS


def test_a_program_must_be_allowed_or_pinned_for_the_venue() -> None:
    assert rule_of(Swap().and_step(call(POOL_PROGRAM, b"swap", VAULT_IN))) is None
    assert rule_of(Swap().and_step(call(address("stranger"), b"swap", VAULT_IN))) is Rule.PROGRAMS
    assert rule_of(replace(Swap().and_step(call(POOL_PROGRAM, b"swap")), programs=frozenset())) is Rule.PROGRAMS
    allowed = GuardRules(1_000, RULES.programs | {POOL_PROGRAM})
    check_message(allowed, replace(Swap().and_step(call(POOL_PROGRAM, b"swap")), programs=frozenset()).proposal())


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(STEPS[1:], id="no limit"),
        pytest.param((*STEPS, compute_unit_limit(1)), id="two limits"),
        pytest.param((*STEPS, compute_unit_price(1)), id="two prices"),
        pytest.param((STEPS[0], compute_unit_price(1_001), *STEPS[2:]), id="a price over the cap"),
        pytest.param((*STEPS, Instruction(Program.COMPUTE_BUDGET, (), b"\x00" + bytes(8))), id="the old RequestUnits"),
        pytest.param((*STEPS, Instruction(Program.COMPUTE_BUDGET, (), b"")), id="nothing"),
        pytest.param((STEPS[0], Instruction(Program.COMPUTE_BUDGET, (), b"\x03" + bytes(9)), *STEPS[2:]), id="long"),
        pytest.param((Instruction(Program.COMPUTE_BUDGET, (), b"\x02" + bytes(3)), *STEPS[1:]), id="short"),
    ],
)
def test_there_is_one_compute_limit_and_a_price_under_the_cap(steps: tuple[Instruction, ...]) -> None:
    assert rule_of(replace(Swap(), steps=steps)) is Rule.COMPUTE


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(STEPS[:-1], id="none"),
        pytest.param((*STEPS[:-1], memo(an_attempt().memo(RECORD))), id="another order's"),
        pytest.param((*STEPS[:-1], memo(replace(ATTEMPT, attempt=2).memo(RECORD))), id="another attempt's"),
        pytest.param((*STEPS, memo(an_attempt().memo(RECORD))), id="another order's as well"),
        pytest.param((*STEPS[:-1], memo(ATTEMPT.memo("0" * 8))), id="another record's"),
        pytest.param((*STEPS, STEPS[-1]), id="twice"),
        pytest.param((*STEPS, memo("dexexec:2:something")), id="of another version"),
        pytest.param((*STEPS, Instruction(Program.MEMO_1, (), MEMO.encode())), id="for the older program"),
    ],
)
def test_the_only_memo_with_our_prefix_is_the_orders_own(steps: tuple[Instruction, ...]) -> None:
    assert rule_of(replace(Swap(), steps=steps)) is Rule.MEMO


def test_a_venue_may_have_memos_of_its_own() -> None:
    Swap().and_step(memo("a venue's own words")).check_message()


def test_the_fee_is_five_thousand_a_signature_and_the_price_of_the_limit_rounded_up() -> None:
    steps = (compute_unit_limit(200_001), compute_unit_price(999), *STEPS[2:])
    message = replace(Swap(), steps=steps).proposal().message
    assert (budget(message).limit, budget(message).price) == (200_001, 999)
    assert network_fee(message) == 2 * 5_000 + 200  # 199.800999 rounded up
    assert network_fee(replace(Swap(), steps=steps[:1]).proposal().message) == 5_000


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(pay(WALLET, ATTACKER, 1), id="transfer to a stranger"),
        pytest.param(pay(WALLET, OURS_IN, 1), id="transfer to a token account of ours that is not wrapped SOL"),
        pytest.param(pay(WALLET, associated_token_account(VENUE, WSOL), 1), id="transfer to another's wrapped SOL"),
        pytest.param(call(Program.SYSTEM, b"\x01\0\0\0" + bytes(32), WALLET, signers=[WALLET]), id="assign"),
        pytest.param(call(Program.SYSTEM, b"\x08\0\0\0" + bytes(8), WALLET, signers=[WALLET]), id="allocate"),
        pytest.param(call(Program.SYSTEM, bytes(52), WALLET, VENUE, signers=[WALLET, VENUE]), id="create account"),
        pytest.param(call(Program.SYSTEM, b"\x03\0\0\0" + bytes(80), WALLET, VENUE, WALLET), id="create with seed"),
        pytest.param(call(Program.SYSTEM, b"\x0b\0\0\0" + bytes(50), VAULT_IN, WALLET, VENUE), id="transfer with seed"),
        pytest.param(call(Program.SYSTEM, b"\x05\0\0\0" + bytes(8), VAULT_IN, ATTACKER, WALLET), id="withdraw nonce"),
        pytest.param(call(Program.SYSTEM, b"\x02\0\0\0" + bytes(9), WALLET, WRAPPED), id="transfer with a tail"),
        pytest.param(call(Program.SYSTEM, b"", WALLET, WRAPPED), id="nothing"),
    ],
)
def test_our_lamports_only_go_to_our_own_wrapped_sol(step: Instruction) -> None:
    assert rule_of(Swap().and_step(step)) is Rule.SYSTEM


def test_a_transfer_to_our_own_wrapped_sol_and_one_to_us_are_fine() -> None:
    Swap().and_step(pay(WALLET, WRAPPED, 1)).check_message()
    Swap().and_step(pay(VENUE, WALLET, 1), pay(VENUE, ATTACKER, 1)).check_message()


def test_our_associated_account_for_wrapped_sol_does_not_count_once_it_is_something_else() -> None:
    for other in (token_account(WSOL, 5, ATTACKER), replace(token_account(WSOL, 5), owner=POOL_PROGRAM)):
        swap = Swap().and_before(WRAPPED=other)
        assert rule_of(swap.and_step(pay(WALLET, WRAPPED, 1))) is Rule.SYSTEM


@pytest.mark.parametrize("form", [b"", b"\0", b"\x01"], ids=["old", "create", "idempotent"])
def test_our_wallet_may_open_accounts_of_its_own(form: bytes) -> None:
    Swap().and_step(open_account(WALLET, WALLET, OTHER_MINT, form)).check_message()
    Swap().and_step(open_account(VENUE, ATTACKER, OTHER_MINT, form)).check_message()


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(open_account(WALLET, ATTACKER, OTHER_MINT), id="for somebody else"),
        pytest.param(open_account(WALLET, WALLET, OTHER_MINT, b"\x02"), id="recover nested"),
        pytest.param(call(Program.ASSOCIATED_TOKEN, b"", WALLET, OURS_OUT), id="too few accounts"),
    ],
)
def test_our_wallet_opens_no_other_accounts(step: Instruction) -> None:
    assert rule_of(Swap().and_step(step)) is Rule.ASSOCIATED


@pytest.mark.parametrize("program", [Program.TOKEN, Program.TOKEN_2022])
@pytest.mark.parametrize(
    ("data", "accounts"),
    [
        pytest.param(b"\x04" + AMOUNT, (OURS_IN, ATTACKER, WALLET), id="Approve"),
        pytest.param(b"\x0d" + AMOUNT + b"\x06", (OURS_IN, MINT_IN, ATTACKER, WALLET), id="ApproveChecked"),
        pytest.param(b"\x05", (OURS_IN, WALLET), id="Revoke"),
        pytest.param(b"\x06\x02\x01" + bytes(32), (OURS_IN, WALLET), id="SetAuthority"),
        pytest.param(b"\x07" + AMOUNT, (MINT_IN, VAULT_IN, WALLET), id="MintTo"),
        pytest.param(b"\x08" + AMOUNT, (OURS_IN, MINT_IN, WALLET), id="Burn"),
        pytest.param(b"\x0f" + AMOUNT + b"\x06", (OURS_IN, MINT_IN, WALLET), id="BurnChecked"),
        pytest.param(b"\x0a", (OURS_IN, MINT_IN, WALLET), id="FreezeAccount"),
        pytest.param(b"\xff", (OURS_IN, WALLET), id="Batch"),
        pytest.param(b"\x1a\x01" + AMOUNT, (OURS_IN, MINT_IN, VAULT_IN, WALLET), id="an extension's"),
        pytest.param(b"", (OURS_IN, WALLET), id="nothing"),
    ],
)
def test_our_wallet_authorises_no_token_instruction_but_transfers(
    data: bytes, accounts: tuple[str, ...], program: str
) -> None:
    assert rule_of(Swap().and_step(token(data, *accounts, program=program))) is Rule.TOKEN


def test_every_other_token_instruction_with_our_accounts_is_refused() -> None:
    harmless = {3, 9, 12, 17}
    refused = {
        tag for tag in range(256) if rule_of(Swap().and_step(token(bytes([tag]), OURS_IN, WALLET))) is Rule.TOKEN
    }
    assert refused == set(range(256)) - harmless


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(transfer(OURS_OTHER, VAULT_IN, WALLET, 1), id="another mint of ours"),
        pytest.param(transfer(address("unknown"), VAULT_IN, WALLET, 1), id="an account that is not there"),
        pytest.param(transfer(VAULT_IN, ATTACKER, WALLET, 1), id="somebody else's account, with our signature"),
        pytest.param(transfer_checked(OURS_OTHER, OTHER_MINT, VAULT_IN, WALLET, 1), id="checked"),
        pytest.param(transfer_checked(OURS_OTHER, MINT_IN, VAULT_IN, WALLET, 1), id="another mint, said to be ours"),
        pytest.param(transfer(OURS_OTHER, VAULT_IN, VENUE, 1), id="by a delegate"),
        pytest.param(transfer(OURS_IN, VAULT_IN, WALLET, 1), id="one unit more than max-in"),
        pytest.param(transfer_checked(OURS_IN, MINT_IN, VAULT_IN, WALLET, 1), id="one unit more, checked"),
        pytest.param(transfer(OURS_IN, VAULT_IN, VENUE, 1), id="one unit more, by a delegate"),
        pytest.param(transfer(WRAPPED, VAULT_IN, WALLET, 1), id="wrapped SOL"),
        pytest.param(token(b"\x03", OURS_IN, VAULT_IN, WALLET), id="no amount"),
        pytest.param(token(b"\x0c" + AMOUNT, OURS_IN, MINT_IN, VAULT_IN, WALLET), id="no decimals"),
    ],
)
def test_only_what_the_order_spends_is_transferred_and_at_most_max_in_in_sum(step: Instruction) -> None:
    swap = Swap().and_before(OURS_OTHER=token_account(OTHER_MINT, 7))
    assert rule_of(swap.and_step(step)) is Rule.TRANSFER


def test_other_owners_may_transfer_their_own_tokens() -> None:
    Swap().and_step(transfer(VAULT_OUT, OURS_OUT, VENUE, 10**6)).check_message()


def test_sol_may_be_wrapped_spent_and_unwrapped_in_one_transaction() -> None:
    steps = (
        *STEPS[:2],
        open_account(WALLET, WALLET, WSOL),
        pay(WALLET, WRAPPED, MAX_IN),
        token(b"\x11", WRAPPED),
        transfer(WRAPPED, VAULT_IN, WALLET, MAX_IN),
        token(b"\x09", WRAPPED, WALLET, WALLET),
        STEPS[-1],
    )
    swap = replace(Swap(), steps=steps, quote=quote(mint_in=WSOL))
    swap.check_message()
    swap.and_before(WRAPPED=wallet_account(1)).check_message()  # somebody sent lamports there before it was opened
    with pytest.raises(GuardError, match="which was there before, would be closed"):
        swap.and_before(WRAPPED=token_account(WSOL, 5)).check_message()
    with pytest.raises(GuardError, match="101 would be transferred"):
        swap.and_step(transfer(WRAPPED, VAULT_IN, WALLET, 1)).check_message()


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(token(b"\x09", OURS_IN, WALLET, WALLET), id="an account that is not wrapped SOL"),
        pytest.param(token(b"\x09", WRAPPED, ATTACKER, WALLET), id="to a stranger"),
        pytest.param(token(b"\x09", WALLET), id="nowhere"),
    ],
)
def test_only_our_wrapped_sol_is_closed_and_only_to_us(step: Instruction) -> None:
    assert rule_of(Swap().and_step(step)) is Rule.CLOSE


def test_the_mints_of_the_swap_are_distinguished() -> None:
    assert rule_of(replace(Swap(), quote=quote(MINT_OUT, MINT_IN))) is Rule.TRANSFER


# What may be written to


def handing(account: Account, *, writable: bool = True, **changes: Any) -> Swap:
    """The good swap, whose venue's program is given one more account."""
    given = (AccountMeta(WALLET, signer=True, writable=True), AccountMeta(ATTACKER, writable=writable))
    swap = replace(Swap().and_step(Instruction(POOL_PROGRAM, given, b"swap")), **changes)
    return swap.and_before(ATTACKER=account)


@pytest.mark.parametrize("program", [Program.TOKEN, Program.TOKEN_2022])
def test_a_token_account_of_our_wallet_may_only_change_if_its_mint_is_traded(program: Program) -> None:
    for mint in (MINT_IN, MINT_OUT):
        assert rule_of(handing(token_account(mint, 7, program=program))) is None
    for mint in (OTHER_MINT, WSOL):
        for amount in (0, 7):
            other = token_account(mint, amount, program=program)
            assert rule_of(handing(other)) is Rule.UNTRADED, "although nothing becomes of it in the simulation"
            assert rule_of(handing(other, writable=False)) is None, "nobody can change it"


def test_a_token_account_of_a_token_that_is_passed_through_may_change_and_no_other() -> None:
    legs = (
        Leg(venue="a", pool="p", mint_in=MINT_IN, mint_out=OTHER_MINT, amount_in=1, amount_out=1),
        Leg(venue="a", pool="q", mint_in=OTHER_MINT, mint_out=MINT_OUT, amount_in=1, amount_out=1),
    )
    through = replace(quote(), legs=legs)
    assert rule_of(handing(token_account(OTHER_MINT, 7), quote=through)) is None
    assert rule_of(handing(token_account(WSOL, 7), quote=through)) is Rule.UNTRADED


def test_the_owner_of_a_token_account_comes_from_the_chain_and_not_from_the_venue() -> None:
    assert rule_of(handing(token_account(OTHER_MINT, 7, owner=VENUE))) is None
    assert rule_of(handing(token_account(OTHER_MINT, 7), programs=frozenset({POOL_PROGRAM, ATTACKER}))) is Rule.UNTRADED
    with pytest.raises(GuardError, match=OTHER_MINT):
        handing(token_account(OTHER_MINT, 7)).check_message()


@pytest.mark.parametrize("owner", [NONCE, STAKE, Program.TOKEN, Program.TOKEN_2022, *GOVERNED_BESIDES])
def test_no_account_in_which_our_wallet_has_authority_may_change(owner: str) -> None:
    ours = Account(owner, RENT, b"\0" * 4 + base58.decode(WALLET) + b"\0" * 46)
    assert rule_of(handing(ours)) is Rule.AUTHORITY
    assert rule_of(handing(ours, writable=False)) is None
    assert rule_of(handing(replace(ours, data=bytes(82)))) is None


@pytest.mark.parametrize("program", [Program.TOKEN, Program.TOKEN_2022])
@pytest.mark.parametrize(
    "power", [{"delegate": (WALLET, 7)}, {"close_authority": WALLET}], ids=lambda one: next(iter(one))
)
@pytest.mark.parametrize("mint", [MINT_IN, OTHER_MINT])
def test_no_foreign_token_account_that_our_wallet_may_spend_or_close_may_change(
    mint: str, power: dict[str, Any], program: Program
) -> None:
    """As a treasury does that lets a hot wallet spend: a program that our signature is handed on to could use it."""
    treasury = token_account(mint, 7, owner=VENUE, program=program, **power)
    assert rule_of(handing(treasury)) is Rule.AUTHORITY
    assert rule_of(handing(treasury, writable=False)) is None


def test_a_venues_own_accounts_may_name_us_and_change() -> None:
    order_book = Account(POOL_PROGRAM, RENT, base58.decode(WALLET))
    changed = handing(order_book).and_after(ATTACKER=replace(order_book, data=bytes(32)))
    assert rule_of(changed) is None
