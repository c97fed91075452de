"""The guard: checks every transaction before the wallet signs it, and refuses what an honest swap would not do. Pure.

It checks twice: the instructions themselves (`check_message`), and their effects in a simulation (`effect_rules`). Each
check alone can be deceived: programs may behave differently on the chain, and instructions hide what programs do. All
lists are closed: what is not known to be harmless is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dexexec.domain import base58
from dexexec.domain.attempt_id import MEMO_PREFIX
from dexexec.domain.funds import Tip
from dexexec.domain.quote import Quote
from dexexec.domain.rent import Rent
from dexexec.domain.solana import Account, Instruction
from dexexec.domain.token import WSOL
from dexexec.settlement.guard_errors import GuardError, Rule
from dexexec.settlement.solana.bids import NO_BIDS, Bids
from dexexec.settlement.solana.guard.effect_rules import Effects, find_fault, own_accounts
from dexexec.settlement.solana.guard.pinned_programs import Pins
from dexexec.settlement.solana.message import (
    MAX_UNITS,
    TOKEN_PROGRAMS,
    Message,
    Program,
    budget,
    network_fee,
    priority_fee,
    touches,
)
from dexexec.settlement.solana.token_account import read_token_account
from dexexec.settlement.solana.wrapped_sol import lamports_wrapped

_LIMIT = 2
_PRICE = 3
_HARMLESS_BUDGET = {1, 4}
"""RequestHeapFrame and SetLoadedAccountsDataSizeLimit."""
_SYSTEM_TRANSFER = b"\x02\0\0\0"
_TRANSFER = 3
_CLOSE = 9
_TRANSFER_CHECKED = 12
_SYNC_NATIVE = 17
_TRANSFER_SIZES = {_TRANSFER: 9, _TRANSFER_CHECKED: 10}
_TOKEN_NAMES = {4: "Approve", 5: "Revoke", 6: "SetAuthority", 7: "MintTo", 8: "Burn", 13: "ApproveChecked"}
_TOKEN_NAMES |= {14: "MintToChecked", 15: "BurnChecked", 255: "Batch"}
_WITHOUT_EFFECT = frozenset({Program.COMPUTE_BUDGET, Program.MEMO, Program.MEMO_1})
_ASSOCIATED_CREATE = {b"", b"\0", b"\x01"}
"""Create (old and new form) and CreateIdempotent."""


_GOVERNED = frozenset(
    {
        Program.SYSTEM,  # nonce accounts
        Program.TOKEN,  # mints, multisigs, token accounts of others that let us spend or close them
        Program.TOKEN_2022,
        "Stake11111111111111111111111111111111111111",
        "Vote111111111111111111111111111111111111111",
        "BPFLoaderUpgradeab1e11111111111111111111111",
        "LoaderV411111111111111111111111111111111111",
        "AddressLookupTab1e1111111111111111111111111",
    }
)
"""Solana's own programs whose accounts name their authorities. A venue's own accounts may name our wallet and
change."""


@dataclass(frozen=True, slots=True)
class GuardRules:
    """The operator's settings. `max_priority_fee` is in micro-lamports per compute unit. Transactions of any venue may
    call `programs` (base58); `pins` are each venue's own. With `spend_wrapped`, orders that sell SOL may spend SOL that
    was wrapped before. `bids` has the accounts that may get a tip, and the most that it may be."""

    max_priority_fee: int
    programs: frozenset[str] = frozenset(Program)
    pins: Pins = field(default_factory=Pins)
    spend_wrapped: bool = True
    bids: Bids = NO_BIDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A transaction to be signed, and the quote that it should execute.

    `wrapped` is the address of the wallet's associated account for wrapped SOL, which may not exist. `cosigners` are
    the other signers that the adapter declared, and `programs` those pinned for its venue. `memo` names the order on
    the chain. `before` has the accounts that the message may write to, by address; None for one that does not exist.
    `rent` is the cluster's. `spend_wrapped` is as in `GuardRules`. `closes` is the wallet's token account that the swap
    empties and that is closed after it; empty if the order closes none. `tip` is what the engine itself added, if
    anything.
    """

    message: Message
    quote: Quote
    wallet: str
    wrapped: str
    cosigners: frozenset[str]
    programs: frozenset[str]
    memo: str
    before: Mapping[str, Account | None]
    rent: Rent
    spend_wrapped: bool = True
    closes: str = ""
    tip: Tip | None = None

    @property
    def charge(self) -> int:
        """Returns the lamports that the wallet pays beside the swap: the network fee and the tip."""
        return network_fee(self.message) + (self.tip.lamports if self.tip else 0)

    @property
    def wrapped_allowance(self) -> int:
        """Returns how much of the existing wrapped SOL may be spent: the part of the sold SOL that the message does not
        wrap on the way."""
        if self.quote.request.mint_in != WSOL or not self.spend_wrapped:
            return 0
        wraps = lamports_wrapped(self.message.instructions, self.wallet, self.wrapped)
        return max(0, self.quote.max_in - wraps)


def check(
    rules: GuardRules,
    proposal: Proposal,
    after: Mapping[str, Account | None],
    fee: int,
    *,
    now: float,
    deadline: float,
) -> None:
    """Raises `GuardError` unless `proposal` may be signed.

    `after` has the accounts of `before` after a simulation, and `fee` is what the simulation charged, in lamports,
    with its tip.
    `now` and `deadline` are monotonic seconds.
    """
    if now >= deadline:
        raise GuardError(Rule.DEADLINE, "the order's deadline has passed")
    check_message(rules, proposal)
    quote = proposal.quote
    fault = find_fault(
        Effects(
            wallet=proposal.wallet,
            mint_in=quote.request.mint_in,
            mint_out=quote.request.mint_out,
            via=quote.via,
            max_in=quote.max_in,
            min_out=quote.min_out,
            wrapped_allowance=proposal.wrapped_allowance,
            fee=fee,
            watched=proposal.message.writable,
            before=proposal.before,
            after=after,
            rent=proposal.rent,
            closes=proposal.closes,
        )
    )
    if fault is not None:
        raise fault
    # The tip counted as spent. What goes to an account of the wallet is not, and would hide as much of another loss.
    if proposal.tip is not None and proposal.tip.account in own_accounts(after, proposal.wallet):
        raise GuardError(Rule.TIP, f"the tip would go to our own account {proposal.tip.account}")


def check_message(rules: GuardRules, proposal: Proposal) -> None:
    """Checks the rules that need no simulation. Raises `GuardError`."""
    message = proposal.message
    wallet = proposal.wallet
    if message.payer != wallet:
        raise GuardError(Rule.PAYER, f"{message.payer} would pay the fee, not our wallet")
    for signer in message.signers:
        if signer != wallet and signer not in proposal.cosigners:
            raise GuardError(Rule.SIGNERS, f"{signer} would have to sign, which the venue did not declare")
    for instruction in message.instructions:
        program = instruction.program
        if program not in rules.programs and program not in proposal.programs:
            raise GuardError(Rule.PROGRAMS, f"the program {program} is not pinned for {proposal.quote.venue}")
    _check_memos(proposal)
    _check_tip(rules.bids, proposal)
    _check_budget(rules, message)
    for call in message.calls(Program.SYSTEM):
        _check_system(proposal, call)
    for call in message.calls(Program.ASSOCIATED_TOKEN):
        _check_associated(proposal, call)
    # The sum over all transfers counts: many small ones must not exceed the limit together.
    taken = sum(_check_token(proposal, call) for call in message.calls(*TOKEN_PROGRAMS))
    if taken > proposal.quote.max_in:
        raise GuardError(Rule.TRANSFER, f"{taken} would be transferred, over the order's {proposal.quote.max_in}")
    for address in message.writable:
        _check_writable(proposal, address)
    if proposal.closes:
        _check_closing(proposal)


def _check_writable(proposal: Proposal, address: str) -> None:
    """Of our accounts, only the wallet and token accounts of the traded mints may be writable, and of the tokens that
    the swap passes through."""
    # A program may do on the chain what it did not do in the simulation. But the runtime lets no program change an
    # account that the message declares as read-only.
    account = proposal.before.get(address)
    request = proposal.quote.request
    if account is None or address == proposal.wallet:
        return
    token = read_token_account(account)
    if token is not None and token.owner == proposal.wallet:
        if token.mint not in {request.mint_in, request.mint_out} | proposal.quote.via:
            raise GuardError(Rule.UNTRADED, f"our account {address} could change, which holds {token.mint}")
    elif account.owner in _GOVERNED and base58.decode(proposal.wallet) in account.data:
        raise GuardError(Rule.AUTHORITY, f"{address} could change, which our wallet controls")


def _check_closing(proposal: Proposal) -> None:
    """The account of the sold token is closed by one instruction, to our wallet, and only if the order empties it."""
    closes = proposal.closes
    token = read_token_account(proposal.before.get(closes))
    wallet = proposal.wallet
    request = proposal.quote.request
    if token is None or token.owner != wallet or token.mint != request.mint_in or token.native:
        raise GuardError(Rule.CLOSE, f"{closes} would be closed, which is not our account of the token that is sold")
    if token.amount != proposal.quote.amount_in:
        raise GuardError(Rule.CLOSE, f"{closes} would be closed, which holds {token.amount}: not what the order sells")
    # The programs of venues get our signature. One that is called after the closing instruction could open the account
    # again, so nothing but memos and the compute budget follows it.
    calls = [call for call in proposal.message.instructions if call.program not in _WITHOUT_EFFECT]
    if sum(_is_closing(proposal, call) for call in calls) != 1 or not _is_closing(proposal, calls[-1]):
        raise GuardError(Rule.CLOSE, f"{closes} would not be closed exactly once, as the last step")
    if calls[-1].program != token.program:
        raise GuardError(Rule.CLOSE, f"{closes} would be closed by another program than its own")


def _is_closing(proposal: Proposal, call: Instruction) -> bool:
    """Whether this is the instruction that closes the emptied account to our wallet."""
    addresses = [meta.address for meta in call.accounts]
    is_close = call.program in TOKEN_PROGRAMS and call.data == bytes([_CLOSE])
    return is_close and addresses == [proposal.closes, proposal.wallet, proposal.wallet]


def _check_memos(proposal: Proposal) -> None:
    """Exactly one memo may have our prefix: the order's own."""
    # The record may be restored from memos, so a forged one could assign this swap to another order.
    memos = [call.data for call in proposal.message.calls(Program.MEMO, Program.MEMO_1)]
    if [memo for memo in memos if memo.startswith(MEMO_PREFIX.encode())] != [proposal.memo.encode()]:
        raise GuardError(Rule.MEMO, "the memo that names the order is missing, duplicated, or another order's")


def _check_budget(rules: GuardRules, message: Message) -> None:
    if message.config is not None:
        _check_config(rules, message)
        return
    calls = list(message.calls(Program.COMPUTE_BUDGET))
    tags = [call.data[:1] for call in calls]
    sizes = {_LIMIT: 5, _PRICE: 9}
    for call in calls:
        tag = call.data[0] if call.data else None
        if tag not in _HARMLESS_BUDGET and (tag not in sizes or len(call.data) != sizes[tag]):
            raise GuardError(Rule.COMPUTE, "a compute budget instruction is unknown")
    # Without a limit, or with two, the price below would not be the one that the network charges.
    if tags.count(bytes([_LIMIT])) != 1 or tags.count(bytes([_PRICE])) > 1:
        raise GuardError(Rule.COMPUTE, "there must be one compute unit limit, and at most one price")
    price = budget(message).price
    if price > rules.max_priority_fee:
        raise GuardError(Rule.COMPUTE, f"{price} micro-lamports per compute unit is over {rules.max_priority_fee}")


def _check_config(rules: GuardRules, message: Message) -> None:
    """The same of a message of version 1, whose header has the compute budget."""
    # The network ignores such an instruction here, so whoever put it there meant something else than what happens.
    if any(message.calls(Program.COMPUTE_BUDGET)):
        raise GuardError(Rule.COMPUTE, "a message of version 1 has a compute budget instruction, which has no effect")
    allowed = budget(message)
    if not 0 < allowed.limit <= MAX_UNITS:
        raise GuardError(Rule.COMPUTE, f"the compute unit limit is {allowed.limit}: it must be 1 to {MAX_UNITS}")
    most = priority_fee(allowed.limit, rules.max_priority_fee)
    if allowed.priority_fee > most:
        raise GuardError(Rule.COMPUTE, f"a priority fee of {allowed.priority_fee} lamports is over {most}")


def _check_system(proposal: Proposal, call: Instruction) -> None:
    """Our wallet may only transfer to our own wrapped SOL. Other accounts may pay us."""
    if not touches(call, proposal.wallet):
        return
    if call.data[:4] != _SYSTEM_TRANSFER or len(call.data) != 12 or len(call.accounts) < 2:
        raise GuardError(Rule.SYSTEM, "of the system program, only Transfer may be given our wallet")
    source = call.accounts[0].address
    target = call.accounts[1].address
    is_tip = proposal.tip is not None and target == proposal.tip.account  # `_check_tip` has the rules for it
    if source == proposal.wallet and not is_tip and not _is_own_wrapped(proposal, target):
        raise GuardError(Rule.SYSTEM, f"lamports would go to {target}, which is not our own wrapped SOL")


def _check_tip(bids: Bids, proposal: Proposal) -> None:
    """The only transfer to the account of the tip is the engine's own, by its amount."""
    tip = proposal.tip
    if tip is None:
        return  # then `_check_system` refuses a transfer to any such account
    if tip.account not in bids.accounts or not 0 < tip.lamports <= bids.most_tip:
        raise GuardError(Rule.TIP, f"a tip of {tip.lamports} lamports to {tip.account} is not what the operator allows")
    if tip.account == proposal.wrapped or tip.account in own_accounts(proposal.before, proposal.wallet):
        raise GuardError(Rule.TIP, f"the tip would go to our own account {tip.account}")
    paid = [
        call.data
        for call in proposal.message.calls(Program.SYSTEM)
        if [meta.address for meta in call.accounts[:2]] == [proposal.wallet, tip.account]
    ]
    # A venue may not add to it: of two transfers, one is not the engine's.
    if paid != [_SYSTEM_TRANSFER + tip.lamports.to_bytes(8, "little")]:
        raise GuardError(Rule.TIP, f"{tip.account} would not get exactly one transfer of {tip.lamports} lamports")


def _check_associated(proposal: Proposal, call: Instruction) -> None:
    """Our wallet may only open accounts of its own."""
    if not touches(call, proposal.wallet):
        return
    if call.data not in _ASSOCIATED_CREATE or len(call.accounts) < 3 or call.accounts[2].address != proposal.wallet:
        raise GuardError(Rule.ASSOCIATED, "our wallet would do more than open a token account of its own")


def _check_token(proposal: Proposal, call: Instruction) -> int:
    """Returns how many base units of `mint_in` a token instruction takes from our accounts."""
    tag = call.data[0] if call.data else -1
    ours = touches(call, proposal.wallet)
    if tag in _TRANSFER_SIZES and call.accounts:
        source = call.accounts[0].address
        mint = _own_mint(proposal, source)
        if mint is None and not ours:
            return 0
        if mint != proposal.quote.request.mint_in or len(call.data) != _TRANSFER_SIZES[tag]:
            raise GuardError(Rule.TRANSFER, f"tokens would leave {source}, which does not hold what the order spends")
        return int.from_bytes(call.data[1:9], "little")
    # Not authorised by our wallet, or harmless: SyncNative only updates the amount of a wrapped account.
    if not ours or tag == _SYNC_NATIVE:
        return 0
    if tag != _CLOSE:
        name = _TOKEN_NAMES.get(tag, f"number {tag}")
        raise GuardError(Rule.TOKEN, f"our wallet would authorise the token instruction {name}")
    if proposal.closes and _is_closing(proposal, call):
        return 0  # `_check_closing` has the rules for it
    closed, *targets = (meta.address for meta in call.accounts)
    if not _is_own_wrapped(proposal, closed) or targets[:1] != [proposal.wallet]:
        raise GuardError(Rule.CLOSE, f"{closed} would be closed: only our own wrapped SOL may be, and only to us")
    # Closing would unwrap all that the account held before, not only what this transaction wrapped.
    if read_token_account(proposal.before.get(closed)) is not None:
        raise GuardError(Rule.CLOSE, f"{closed}, which was there before, would be closed")
    return 0


def _own_mint(proposal: Proposal, address: str) -> str | None:
    """Returns the mint of our token account at `address`; None if the account is not ours."""
    account = proposal.before.get(address)
    token = read_token_account(account)
    if token is not None:
        return token.mint if token.owner == proposal.wallet else None
    # Not open yet: an account that the transaction opens at our associated address belongs to our wallet.
    unopened = account is None or account.owner == Program.SYSTEM
    return WSOL if unopened and address == proposal.wrapped else None


def _is_own_wrapped(proposal: Proposal, address: str) -> bool:
    return _own_mint(proposal, address) == WSOL
