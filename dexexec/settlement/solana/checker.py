"""Compiles the transaction of a swap, simulates it on the chain, and has the guard check it. It has no key.

The checked message differs from the simulated one only in its compute budget, because only the simulation shows how
many units it needs. `sealer` signs it; a dry run ends here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from dexexec.clock import Clock
from dexexec.domain.attempt_id import UNNAMED, AttemptId
from dexexec.domain.balance import SpendableBalance
from dexexec.domain.closing import Closing
from dexexec.domain.funds import PriorityFee, Tip
from dexexec.domain.prepared_from import PreparedFrom
from dexexec.domain.quote import Fill, Quote
from dexexec.domain.rent import ReadRent, Rent
from dexexec.domain.solana import Account, Accounts, Instruction, Simulation, SwapInstructions
from dexexec.domain.token import KNOWN, WSOL, Tokens
from dexexec.settlement.guard_errors import GuardError
from dexexec.settlement.solana.bids import tip_step
from dexexec.settlement.solana.checked_swap import CheckedSwap
from dexexec.settlement.solana.closing import close_instruction, closing_of
from dexexec.settlement.solana.compiler import MessageCompiler
from dexexec.settlement.solana.draft import Draft, by_address, contested, finish, same_wallet
from dexexec.settlement.solana.fresh_accounts import fresher_accounts
from dexexec.settlement.solana.funds import WalletFunds
from dexexec.settlement.solana.guard.message_rules import GuardRules, Proposal, check, check_message
from dexexec.settlement.solana.lookup_table import LookupTable
from dexexec.settlement.solana.message import (
    MAX_UNITS,
    TOKEN_PROGRAMS,
    Message,
    compute_unit_limit,
    memo,
)
from dexexec.settlement.solana.priority_fee import no_priority_fee
from dexexec.settlement.solana.signature_fee import assumed
from dexexec.settlement.solana.simulated_fill import simulated_fill
from dexexec.settlement.solana.simulation_failure import explain_simulation
from dexexec.settlement.solana.spendable import BalanceReader
from dexexec.settlement.solana.spending import Reservations, nothing_reserved, spending_of
from dexexec.settlement.solana.token_account import read_token_account
from dexexec.settlement.solana.transaction import TooLarge, assemble, associated_token_account, parse_message
from dexexec.settlement.solana.warm.simulation_choice import SimulationsDifferError
from dexexec.settlement.solana.wrapped_sol import amount_from_wrapped, keep_open, lamports_wrapped, open_only_if_absent
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

SIMULATIONS = 4
"""How many simulations are tried while the wallet's accounts keep changing."""
Price = Callable[[Sequence[str]], Awaitable[PriorityFee]]
_KNOWN_TOKENS = Tokens(KNOWN)
_VERSION_0 = MessageCompiler()


def no_co_signer(_: AttemptId) -> str:
    """The co-signer of a wallet whose key this process has: none."""
    return ""


class SwapChecker:
    """Checks swaps of the wallet `payer` (base58) by `rules`.

    `rent` returns the cluster's rent, and `price` the priority fee of a transaction that writes to given accounts.
    `tokens` have names for error messages. `reserved` returns what open attempts may take from the wallet, by mint.
    `record` names the record that has the orders. `co_signer` returns whose signature a transaction needs beside the
    wallet's. `node` is the same chain for refusals, if `chain` answers from memory. `compiler` chooses the version of
    messages, and `signature_fee` returns what the cluster charges per signature.
    """

    def __init__(
        self,
        chain: SolanaChain,
        payer: str,
        rules: GuardRules,
        clock: Clock,
        *,
        rent: ReadRent,
        price: Price = no_priority_fee,
        tokens: Tokens = _KNOWN_TOKENS,
        reserved: Reservations = nothing_reserved,
        record: str = UNNAMED,
        co_signer: Callable[[AttemptId], str] = no_co_signer,
        node: SolanaChain | None = None,
        compiler: MessageCompiler = _VERSION_0,
        signature_fee: Callable[[], int] = assumed,
    ) -> None:
        self._chain = chain
        self._node = node or chain
        self._payer = payer
        self._rules = rules
        self._clock = clock
        self._rent = rent
        self._price = price
        self._tokens = tokens
        self._reserved = reserved
        self._record = record
        self._co_signer = co_signer
        self._compiler = compiler
        self._signature_fee = signature_fee
        self._wrapped = associated_token_account(payer, WSOL)
        self._balances = BalanceReader(
            chain,
            payer,
            clock,
            reserved=reserved,
            max_priority_fee=rules.max_priority_fee,
            most_tip=rules.bids.most_tip,
            spend_wrapped=rules.spend_wrapped,
            tokens=tokens,
            node=self._node,
            rent=rent,
            signature_fee=signature_fee,
        )

    @property
    def payer(self) -> str:
        """The wallet's public key, base58."""
        return self._payer

    async def simulate(
        self,
        venue: AnyVenue,
        quote: Quote,
        unsigned: Unsigned,
        deadline: float,
        attempt: AttemptId,
        *,
        close_account: bool = False,
    ) -> Fill:
        """Returns what the swap would move. Raises as `check` does."""
        checked = await self.check(venue, quote, unsigned, deadline, attempt, close_account=close_account)
        return checked.fill

    async def check(
        self,
        venue: AnyVenue,
        quote: Quote,
        unsigned: Unsigned,
        deadline: float,
        attempt: AttemptId,
        *,
        close_account: bool = False,
    ) -> CheckedSwap:
        """Returns the transaction to sign, with `attempt` as its memo. With `close_account` it closes the account that
        the swap empties.

        Raises `GuardError` for a transaction that may not be signed; `Slippage`, `InsufficientFunds` or another error
        that explains a failed simulation; `BadAnswer` for invalid instructions.
        """
        if not isinstance(unsigned, SwapInstructions):
            raise BadAnswer(f"{venue.name} built a finished message, where Solana needs instructions")
        tip = self._rules.bids.tip_for(attempt)
        check = partial(self._check, venue, quote, unsigned, attempt, deadline=deadline, close_account=close_account)
        if self._chain is not self._node:
            # A refusal may end an order, and memory may be wrong: only what stops the swap at a node as well counts.
            try:
                return await check(chain=self._chain, tip=tip)
            except SimulationsDifferError:
                # The node alone would let it pass: the operator wants both to agree.
                raise
            except VenueError:
                pass
        try:
            return await check(chain=self._node, tip=tip)
        except (InsufficientFunds, TooLarge):
            # A tip helps a swap to land. It must not be what keeps the wallet from making it.
            if tip is None:
                raise
        return await check(chain=self._node, tip=None)

    async def _check(
        self,
        venue: AnyVenue,
        quote: Quote,
        unsigned: SwapInstructions,
        attempt: AttemptId,
        *,
        chain: SolanaChain,
        tip: Tip | None,
        deadline: float,
        close_account: bool,
    ) -> CheckedSwap:
        rent = await self._rent()
        draft = await self._draft(chain, quote, unsigned, attempt, rent, tip=tip, close_account=close_account)
        proposal = Proposal(
            message=draft.parsed,
            quote=quote,
            wallet=self.payer,
            wrapped=self._wrapped,
            cosigners=frozenset({*unsigned.signers, self._co_signer(attempt)}),
            programs=self._rules.pins.of(quote.venue),
            memo=attempt.memo(self._record),
            before=draft.before(),
            rent=rent,
            spend_wrapped=self._rules.spend_wrapped,
            closes=draft.closing.address if draft.closing else "",
            tip=tip,
        )
        # The simulation charged this. The final message costs more: a priority fee, and a tip that may depend on it.
        simulated_charge = proposal.charge
        try:
            # Before the simulation, so that an attack is reported as one, and not as the failure that it causes there.
            check_message(self._rules, proposal)
            shortage = self._funds(proposal.before, rent).shortage(quote, draft.parsed)
            if shortage is not None:
                raise shortage
            # At the same time: neither needs the other, and each may need a request.
            pricing = self._price(contested(proposal.before, self.payer, self._rules.bids))
            (draft, simulation), market = await asyncio.gather(self._simulate(chain, draft), pricing)
            before = draft.before()
            proposal = replace(proposal, before=before)
            if simulation.error is not None:
                raise explain_simulation(venue, quote, draft.parsed, self._funds(before, rent), simulation)
            bids = self._rules.bids
            offer = bids.price(market, attempt)
            fee = self._signature_fee()
            message, parsed, tip = finish(draft, simulation.units, offer.price, signature_fee=fee, bids=bids, tip=tip)
            final = replace(proposal, message=parsed, tip=tip)
            more = final.charge - simulated_charge
            self._check_funds(quote, parsed, self._funds(before, rent), simulation.after.get(self.payer), more)
            now = self._clock.monotonic()
            if now >= deadline:
                raise QuoteExpired("the order's deadline passed while the swap was simulated")
            check(self._rules, final, simulation.after, simulated_charge, now=now, deadline=deadline)
        except (GuardError, InsufficientFunds, AccountFrozen) as error:
            # What is lacking may be the tip: then the answer is another transaction, and no refusal.
            if chain is not self._node or (tip is not None and isinstance(error, InsufficientFunds)):
                raise
            raise await self._unless_stale(error, proposal, draft.accounts, unsigned.blockhash.slot) from None
        return CheckedSwap(
            message=message,
            parsed=parsed,
            priority_fee=offer,
            spending=spending_of(
                final, simulation.after, simulated_charge, self._funds(before, rent), draft.accounts.slot
            ),
            fill=simulated_fill(final, simulation, simulated_charge),
            prepared=PreparedFrom.values(simulation, draft.accounts.slot, unsigned.blockhash),
            closing=draft.closing,
            tip=tip,
        )

    async def spendable(self, mint: str) -> SpendableBalance:
        """Returns what the wallet can spend of `mint` now. Raises `VenueError`."""
        return await self._balances.spendable(mint)

    async def shortage(self, quote: Quote, newest: int) -> InsufficientFunds | None:
        """Returns what the wallet lacks of the sold token, or None. Raises `VenueError`."""
        mint = quote.request.mint_in
        tokens = (associated_token_account(self.payer, mint, program) for program in sorted(TOKEN_PROGRAMS))
        addresses = (self.payer, *tokens)
        accounts = await self._chain.accounts(addresses)
        rent = await self._rent()
        # A lack ends the order, so it must hold in a second, later read too: the first node may lag behind a deposit.
        for is_last in (False, True):
            if accounts.slot < newest:
                return None
            lacking = self._funds(by_address(addresses, accounts), rent).lacks_input(quote, quote.amount_in)
            if lacking is None or is_last:
                return lacking
            accounts = await fresher_accounts(self._node, self._clock, addresses, accounts.slot)
        return None

    async def _draft(
        self,
        chain: SolanaChain,
        quote: Quote,
        unsigned: SwapInstructions,
        attempt: AttemptId,
        rent: Rent,
        *,
        tip: Tip | None,
        close_account: bool,
    ) -> Draft:
        """Returns the transaction to simulate, adapted to the wallet's accounts for wrapped SOL and the spent token."""
        # The memo also makes two equal swaps with one blockhash different: otherwise they would share a signature.
        co_signer = self._co_signer(attempt) or None
        # The tip comes after the swap, which may bring the lamports for it.
        tips = () if tip is None else (tip_step(self.payer, tip),)
        steps = (*unsigned.instructions, *tips, memo(attempt.memo(self._record), co_signer))
        message, tables = await self._compile(unsigned, steps)
        parsed = parse_message(message, self._signature_fee(), tables)
        accounts = await chain.accounts(parsed.writable)
        shown = by_address(parsed.writable, accounts)
        steps = await self._with_wrapped(quote, parsed, steps, self._funds(shown, rent), accounts.slot)
        closing = None
        if close_account:
            closing = closing_of(quote, self.payer, shown, await self._reserved(self.payer, accounts.slot))
            steps = (*steps, *self._closes(closing, shown))
        message, tables = await self._compile(unsigned, steps)
        parsed = parse_message(message, self._signature_fee(), tables)
        # The changed steps write to some of the same accounts, maybe in another order.
        accounts = replace(accounts, found=tuple(shown[address] for address in parsed.writable))
        return Draft(steps, message, parsed, accounts, closing, tables)

    def _closes(self, closing: Closing, shown: Mapping[str, Account | None]) -> tuple[Instruction, ...]:
        account = shown.get(closing.address)
        return (close_instruction(closing.address, account.owner, self.payer),) if account else ()

    async def _with_wrapped(
        self,
        quote: Quote,
        drafted: Message,
        steps: tuple[Instruction, ...],
        funds: WalletFunds,
        slot: int,
    ) -> tuple[Instruction, ...]:
        """Returns the steps adapted to the account for wrapped SOL: it stays open if it exists, and may only be opened
        if it still does not exist then."""
        account = read_token_account(funds.accounts.get(self._wrapped))
        if account is None:
            return open_only_if_absent(steps, self._wrapped)
        if account.owner != self.payer:
            return steps  # the guard refuses it
        spend = 0
        if account.amount and self._rules.spend_wrapped and quote.request.mint_in == WSOL:
            wanted = lamports_wrapped(steps, self.payer, self._wrapped)
            costs = funds.certain(drafted) - wanted + funds.rent.wallet
            reserved = await self._reserved(self.payer, slot)
            spend = amount_from_wrapped(wanted, costs, funds.lamports(), account.amount, reserved)
        return keep_open(steps, self.payer, self._wrapped, spend)

    async def _compile(
        self, unsigned: SwapInstructions, steps: Sequence[Instruction]
    ) -> tuple[bytes, tuple[LookupTable, ...]]:
        return await self._compiler.compile(self.payer, (compute_unit_limit(MAX_UNITS), *steps), unsigned)

    async def _simulate(self, chain: SolanaChain, draft: Draft) -> tuple[Draft, Simulation]:
        """Returns a simulation, and the draft with the accounts that the simulation started from."""
        writable = draft.parsed.writable
        transaction = assemble(draft.message, draft.parsed.signers, {})
        accounts = draft.accounts
        for _ in range(SIMULATIONS):
            simulation = await chain.simulate(transaction, writable)
            if simulation.slot == accounts.slot:
                return replace(draft, accounts=accounts), simulation
            # Other orders of this wallet may land between two answers. The difference between the accounts before and
            # after would then not be this swap's, so both must start from the same state of the wallet.
            # From where it was simulated: memory may not have reached the slot of a node's simulation yet.
            again = await (chain if simulation.local else self._node).accounts(writable)
            unchanged = same_wallet(draft.parsed, accounts, again)
            if unchanged and accounts.slot <= simulation.slot <= again.slot:
                return replace(draft, accounts=replace(accounts, slot=simulation.slot)), simulation
            accounts = again
        raise Timeout(
            "the wallet's accounts changed during each simulation, or the node's answers are old", shared=True
        )

    async def _unless_stale(self, refusal: VenueError, proposal: Proposal, seen: Accounts, newest: int) -> VenueError:
        """Returns `refusal`, or `Unreachable` if it was based on old accounts: then the node is at fault, not the
        order. `seen` are old if they are from before the slot `newest`, which the node has already shown, or if a
        second read of our accounts differs."""
        if seen.slot < newest:
            return Unreachable(f"the node showed accounts of slot {seen.slot} after slot {newest}", shared=True)
        addresses = proposal.message.writable
        # A lagging node shows `newest` late as well. So a refusal because of balances, which ends the order, must be
        # confirmed by accounts of a later slot.
        if isinstance(refusal, GuardError):
            again = await self._node.accounts(addresses)
        else:
            again = await fresher_accounts(self._node, self._clock, addresses, seen.slot)
        if not same_wallet(proposal.message, seen, again):
            return Unreachable("the node showed the wallet's accounts as they were before", shared=True)
        return refusal

    def _check_funds(
        self, quote: Quote, message: Message, funds: WalletFunds, after: Account | None, more: int
    ) -> None:
        """Raises `InsufficientFunds` if the wallet cannot pay `more` than in the simulation: priority fee and tip."""
        # Checked twice: at the start, when the network takes its fee, and at the end, when the wallet must keep its
        # rent.
        shortage = funds.shortage(quote, message)
        if shortage is None and more > 0 and after is not None and after.lamports < more + funds.rent.wallet:
            why = f"{more} lamports for compute units, and what the wallet's account must keep"
            shortage = funds.lacks(WSOL, after.lamports, more + funds.rent.wallet, why)
        if shortage is not None:
            raise shortage

    def _funds(self, accounts: Mapping[str, Account | None], rent: Rent) -> WalletFunds:
        return WalletFunds(self.payer, accounts, self._tokens, rent)
