"""Sealing on Solana: compile, simulate, guard, have the venue sign its part, sign ours.

What is signed is the message that the guard looked at, byte for byte. It differs from the one that was simulated only
in its compute budget: how many units it needs is known only then. Nothing is sent here.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from dexexec.clock import Clock
from dexexec.domain.attempt_id import UNNAMED, AttemptId
from dexexec.domain.funds import PriorityFee
from dexexec.domain.quote import Quote
from dexexec.domain.solana import Account, Accounts, Instruction, Simulation, SwapInstructions
from dexexec.domain.swap import SignedSwap
from dexexec.domain.token import KNOWN, WSOL, Tokens
from dexexec.settlement.guard_errors import GuardError
from dexexec.settlement.sealing import Sealed
from dexexec.settlement.solana.funds import WALLET_RENT, WalletFunds
from dexexec.settlement.solana.guard.effect_rules import frozen_accounts, own_accounts
from dexexec.settlement.solana.guard.message_rules import GuardRules, Proposal, check, check_message
from dexexec.settlement.solana.message import (
    LACKS_LAMPORTS,
    TOKEN_PROGRAMS,
    Message,
    Program,
    compute_unit_limit,
    compute_unit_price,
    memo,
    network_fee,
    touches,
)
from dexexec.settlement.solana.priority_fee import no_priority_fee
from dexexec.settlement.solana.program_failures import INSUFFICIENT, explain
from dexexec.settlement.solana.spending import Reservations, nothing_reserved, spending_of
from dexexec.settlement.solana.token_account import read_token_account
from dexexec.settlement.solana.transaction import (
    assemble,
    associated_token_account,
    compile_message,
    is_signed,
    parse_message,
    signature_text,
)
from dexexec.settlement.solana.wallet import Wallet
from dexexec.settlement.solana.wrapped_sol import from_wrapped, keep_open, lamports_wrapped, open_strictly
from dexexec.venue import (
    AccountFrozen,
    AnyVenue,
    BadAnswer,
    InsufficientFunds,
    QuoteExpired,
    SolanaChain,
    Timeout,
    Unreachable,
    Unsigned,
    VenueError,
)

MAX_UNITS = 1_400_000
"""The most compute units that a transaction may use, and what a simulation is given."""
MIN_UNITS = 10_000
PRICE_UNITS = 150
"""What the compute unit price, which is not simulated, uses itself."""
LOOKS = 4
"""How often the wallet may change under a simulation before it is given up."""
FRESHER_SLOTS = 4
"""Slots by which balances must be newer than those that were not enough, to bear them out."""
FRESHER_PAUSES = (0.1, 0.2, 0.4, 0.8)
"""Seconds between looks at balances that were not enough: a cluster comes so far meanwhile, a chain that stands does
not."""
Price = Callable[[Sequence[str]], Awaitable[PriorityFee]]
_KNOWN_TOKENS = Tokens(KNOWN)


class SolanaSealer:
    """Signs with `wallet` what `rules` let pass. `price` tells what to offer the network for each compute unit of a
    transaction that writes to these accounts, in micro-lamports; `tokens` are known by name; `reserved` tells what open
    attempts may take of a wallet's balances of a slot, by mint; `record` is the name of the record that has the
    orders."""

    def __init__(
        self,
        chain: SolanaChain,
        wallet: Wallet,
        rules: GuardRules,
        clock: Clock,
        *,
        price: Price = no_priority_fee,
        tokens: Tokens = _KNOWN_TOKENS,
        reserved: Reservations = nothing_reserved,
        record: str = UNNAMED,
    ) -> None:
        self._chain, self._wallet, self._rules, self._clock = chain, wallet, rules, clock
        self._price, self._tokens, self._reserved, self._record = price, tokens, reserved, record
        self._wrapped = associated_token_account(wallet.address, WSOL)

    @property
    def payer(self) -> str:
        """The wallet's public key, base58."""
        return self._wallet.address

    async def seal(
        self, venue: AnyVenue, quote: Quote, unsigned: Unsigned, deadline: float, attempt: AttemptId
    ) -> Sealed:
        """The bytes to record and send, with `attempt` as their memo.

        Raises `GuardError` for what may not be signed; `Slippage`, `InsufficientFunds` or what else the venue makes of
        it when the simulation fails; `BadAnswer` for instructions or signatures that cannot be right.
        """
        if not isinstance(unsigned, SwapInstructions):
            raise BadAnswer(f"{venue.name} built a finished message, where Solana needs instructions")
        # The memo also makes two equal swaps under one blockhash two transactions: else they had one signature.
        said = attempt.memo(self._record)
        steps = (*unsigned.instructions, memo(said))
        drafted = parse_message(self._compile(unsigned, (compute_unit_limit(MAX_UNITS), *steps)))
        seen = await self._chain.accounts(drafted.writable)
        shown = _by_address(drafted.writable, seen)
        steps = await self._with_wrapped(quote, drafted, steps, shown, seen.slot)
        draft = self._compile(unsigned, (compute_unit_limit(MAX_UNITS), *steps))
        drafted = parse_message(draft)
        watched = drafted.writable
        seen = replace(seen, found=tuple(shown[address] for address in watched))
        proposal = Proposal(
            message=drafted,
            quote=quote,
            wallet=self.payer,
            wrapped=self._wrapped,
            cosigners=frozenset(unsigned.signers),
            programs=self._rules.pins.of(quote.venue),
            memo=said,
            before=_by_address(watched, seen),
            spend_wrapped=self._rules.spend_wrapped,
        )
        try:
            check_message(self._rules, proposal)
            shortage = self._funds(proposal.before).shortage(quote, drafted)
            if shortage is not None:
                raise shortage
            seen, simulation = await self._simulate(draft, drafted, seen)
            before = _by_address(watched, seen)
            proposal = replace(proposal, before=before)
            if simulation.error is not None:
                raise self._reason(venue, quote, drafted, before, simulation)
            offer = await self._price(self._contested(before))
            message = self._compile(unsigned, (*_budget(simulation.units, offer.price), *steps))
            parsed = parse_message(message)
            self._check_funds(quote, parsed, before, simulation.after.get(self.payer), network_fee(drafted))
            now = self._clock.monotonic()
            if now >= deadline:
                raise QuoteExpired("the order's deadline passed while the swap was simulated")
            final = replace(proposal, message=parsed)
            check(self._rules, final, simulation.after, network_fee(drafted), now=now, deadline=deadline)
        except (GuardError, InsufficientFunds, AccountFrozen) as error:
            raise await self._unless_stale(error, proposal, seen, unsigned.blockhash.slot) from None
        signatures = await self._cosigned(venue, message, parsed) | {self.payer: self._wallet.sign(message)}
        transaction = assemble(message, parsed.signers, signatures)
        signed = SignedSwap(
            signature=signature_text(transaction),
            payload=transaction,
            last_valid_height=unsigned.blockhash.last_valid_height,
        )
        spending = spending_of(final, simulation.after, network_fee(drafted), self._funds(before), seen.slot)
        return Sealed(signed, offer, spending)

    async def shortage(self, quote: Quote, newest: int) -> InsufficientFunds | None:
        """What the wallet lacks for `quote`, whatever the transaction is: too little of what is sold. Raises
        `VenueError`."""
        mint = quote.request.mint_in
        ours = (self.payer, *(associated_token_account(self.payer, mint, one) for one in sorted(TOKEN_PROGRAMS)))
        found = await self._chain.accounts(ours)
        for again in (True, False):
            if found.slot < newest:
                return None
            lacking = self._funds(_by_address(ours, found)).lacks_input(quote, quote.amount_in)
            if lacking is None or not again:
                return lacking
            found = await self._fresher(ours, found.slot)
        return None

    async def _with_wrapped(
        self,
        quote: Quote,
        drafted: Message,
        steps: tuple[Instruction, ...],
        shown: Mapping[str, Account | None],
        slot: int,
    ) -> tuple[Instruction, ...]:
        """The steps for the account for wrapped SOL as it is: kept open with what it holds, or opened only if it is
        still not there."""
        account = read_token_account(shown.get(self._wrapped))
        if account is None:
            return open_strictly(steps, self._wrapped)
        if account.owner != self.payer:
            return steps  # the guard refuses it
        spend = 0
        if account.amount and self._rules.spend_wrapped and quote.request.mint_in == WSOL:
            wanted = lamports_wrapped(steps, self.payer, self._wrapped)
            funds = self._funds(shown)
            costs = funds.certain(drafted) - wanted + WALLET_RENT
            there = funds.lamports()
            spend = from_wrapped(wanted, costs, there, account.amount, await self._reserved(self.payer, slot))
        return keep_open(steps, self.payer, self._wrapped, spend)

    def _compile(self, unsigned: SwapInstructions, steps: tuple[Instruction, ...]) -> bytes:
        return compile_message(self.payer, steps, unsigned.blockhash.hash)

    def _contested(self, before: Mapping[str, Account | None]) -> list[str]:
        """The accounts that others write to as well. Ours are left out: what we paid before would be the market there,
        and a price that was once high would keep itself up."""
        ours = own_accounts(before, self.payer)
        return [address for address, account in before.items() if account is not None and address not in ours]

    async def _simulate(self, draft: bytes, drafted: Message, seen: Accounts) -> tuple[Accounts, Simulation]:
        """The accounts before, and a simulation from just there: other orders of ours may land between two answers, and
        then the difference would not be this swap's."""
        transaction = assemble(draft, drafted.signers, {})
        for _ in range(LOOKS):
            simulation = await self._chain.simulate(transaction, drafted.writable)
            if simulation.slot == seen.slot:
                return seen, simulation
            again = await self._chain.accounts(drafted.writable)
            if self._same_wallet(drafted, seen, again) and seen.slot <= simulation.slot <= again.slot:
                return replace(seen, slot=simulation.slot), simulation
            seen = again
        raise Timeout(
            "the wallet's accounts changed during each simulation, or the node's answers are old", shared=True
        )

    def _same_wallet(self, message: Message, one: Accounts, other: Accounts) -> bool:
        """Whether our accounts are the same in both."""
        first, second = (own_accounts(_by_address(message.writable, seen), self.payer) for seen in (one, other))
        return first == second

    async def _unless_stale(self, refusal: VenueError, proposal: Proposal, seen: Accounts, newest: int) -> VenueError:
        """`refusal`, unless what it rests on was old: `seen` is of before the slot `newest`, which the node had shown,
        or our accounts are others when asked again. Then it is trouble of the node, no alarm and no fault of the
        order's; nothing is signed either way. A node that lags shows the slot `newest` as late as the accounts: what
        ends an order by its balances is looked at again as of a later slot."""
        if seen.slot < newest:
            return Unreachable(f"the node showed accounts of slot {seen.slot} after slot {newest}", shared=True)
        addresses, last = proposal.message.writable, isinstance(refusal, GuardError)
        again = await (self._chain.accounts(addresses) if last else self._fresher(addresses, seen.slot))
        if not self._same_wallet(proposal.message, seen, again):
            return Unreachable("the node showed the wallet's accounts as they were before", shared=True)
        return refusal

    async def _fresher(self, addresses: Sequence[str], slot: int) -> Accounts:
        """The accounts as of a good deal later than `slot`, if the node comes there soon; else as they are then."""
        found = await self._chain.accounts(addresses)
        for pause in FRESHER_PAUSES:
            if found.slot >= slot + FRESHER_SLOTS:
                break
            await self._clock.sleep(pause)
            found = await self._chain.accounts(addresses)
        return found

    def _reason(
        self,
        venue: AnyVenue,
        quote: Quote,
        message: Message,
        before: Mapping[str, Account | None],
        simulation: Simulation,
    ) -> VenueError:
        """What a failed simulation means."""
        failure = simulation.failure
        explained = venue.explain(failure) if failure is not None else None
        if explained is not None:
            return explained
        funds = self._funds(before)
        short = failure is not None and failure.custom == INSUFFICIENT
        lacks = funds.lacks_input(quote, quote.max_in if short else quote.amount_in)
        if lacks is not None:
            return lacks
        if failure is None:
            if any(word in str(simulation.error) for word in LACKS_LAMPORTS):
                return funds.lacks_lamports(f"the fee or rent cannot be paid ({simulation.error})")
            return BadAnswer(f"the transaction would fail: {simulation.error}")
        called = message.instructions[failure.index] if 0 <= failure.index < len(message.instructions) else None
        lamports = (failure.origin or failure.program) in (Program.SYSTEM, Program.ASSOCIATED_TOKEN)
        if short and lamports and called is not None and touches(called, self.payer):
            return funds.lacks_lamports(f"the swap has to set up more (instruction {failure.index})")
        meant = explain(failure)
        if meant is None or isinstance(meant, InsufficientFunds):  # not ours, as the wallet has enough
            meant = BadAnswer(failure.text)
        frozen = frozen_accounts(before, self.payer) if isinstance(meant, AccountFrozen) else []
        words = f"{meant}: our account {frozen[0]}" if frozen else str(meant)
        return type(meant)(f"instruction {failure.index} of the transaction would fail: {words}")

    def _check_funds(
        self, quote: Quote, message: Message, before: Mapping[str, Account | None], after: Account | None, paid: int
    ) -> None:
        """The fee that was simulated, `paid`, knew no price: whether the wallet can pay the rest too, at the start when
        the network takes it, and in the end."""
        shortage = self._funds(before).shortage(quote, message)
        more = network_fee(message) - paid
        if shortage is None and more > 0 and after is not None and after.lamports < more + WALLET_RENT:
            why = f"{more} lamports for compute units, and what the wallet's account must keep"
            shortage = self._funds({self.payer: after}).lacks(WSOL, after.lamports, more + WALLET_RENT, why)
        if shortage is not None:
            raise shortage

    def _funds(self, accounts: Mapping[str, Account | None]) -> WalletFunds:
        return WalletFunds(self.payer, accounts, self._tokens)

    async def _cosigned(self, venue: AnyVenue, message: bytes, parsed: Message) -> dict[str, bytes]:
        """The other signers' signatures, each proven to be theirs over this very message."""
        others = [signer for signer in parsed.signers if signer != self.payer]
        given = await venue.cosign(message) if others else {}
        found = {}
        for signer in others:
            signature = given.get(signer)
            if not isinstance(signature, bytes) or not is_signed(message, signer, signature):
                raise BadAnswer(f"{venue.name} gave no right signature of {signer}")
            found[signer] = signature
        return found


def _budget(units: int, price: int) -> tuple[Instruction, ...]:
    """A fifth more compute units than a simulation used, at `price` each."""
    limit = min(MAX_UNITS, max(MIN_UNITS, -(-(units + PRICE_UNITS) * 12 // 10)))
    return (compute_unit_limit(limit), *((compute_unit_price(price),) if price else ()))


def _by_address(addresses: tuple[str, ...], accounts: Accounts) -> dict[str, Account | None]:
    return dict(zip(addresses, accounts.found, strict=True))
