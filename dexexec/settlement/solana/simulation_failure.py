"""Explains why the simulation of a swap failed, with an error that names its cause. Part of sealing."""

from dexexec.domain.quote import Quote
from dexexec.domain.solana import Simulation
from dexexec.domain.swap import ProgramFailure
from dexexec.settlement.solana.funds import WalletFunds
from dexexec.settlement.solana.guard.effect_rules import frozen_accounts
from dexexec.settlement.solana.message import LACKS_LAMPORTS, Message, Program, touches
from dexexec.settlement.solana.program_failures import INSUFFICIENT, explain
from dexexec.venue import AccountFrozen, AnyVenue, BadAnswer, InsufficientFunds, VenueError


def explain_simulation(
    venue: AnyVenue, quote: Quote, message: Message, funds: WalletFunds, simulation: Simulation
) -> VenueError:
    """Returns the error that explains a failed simulation of `message`. `funds` are those from before it."""
    failure = simulation.failure
    # The venue comes first: only its adapter can explain the error numbers of its program.
    explained = venue.explain(failure) if failure is not None else None
    if explained is not None:
        return explained
    # A program that lacks tokens may need all that the order allows, not only the quoted amount.
    too_little = failure is not None and failure.custom == INSUFFICIENT
    shortage = funds.lacks_input(quote, quote.max_in if too_little else quote.amount_in)
    if shortage is not None:
        return shortage
    if failure is None:
        if any(word in str(simulation.error) for word in LACKS_LAMPORTS):
            return funds.lacks_lamports(f"the fee or rent cannot be paid ({simulation.error})")
        return BadAnswer(f"the transaction would fail: {simulation.error}")
    if too_little and _takes_lamports(failure, message, funds.address):
        return funds.lacks_lamports(f"the swap has to set up more (instruction {failure.index})")
    return _explain_instruction(failure, funds)


def _takes_lamports(failure: ProgramFailure, message: Message, wallet: str) -> bool:
    """Whether the instruction that failed takes lamports, from the wallet among others."""
    if not 0 <= failure.index < len(message.instructions):
        return False
    origin = failure.origin or failure.program
    return origin in (Program.SYSTEM, Program.ASSOCIATED_TOKEN) and touches(message.instructions[failure.index], wallet)


def _explain_instruction(failure: ProgramFailure, funds: WalletFunds) -> VenueError:
    meant = explain(failure)
    # The wallet has enough, as checked before: an account of the venue lacks funds.
    if meant is None or isinstance(meant, InsufficientFunds):
        meant = BadAnswer(failure.text)
    frozen = frozen_accounts(funds.accounts, funds.address) if isinstance(meant, AccountFrozen) else []
    words = f"{meant}: our account {frozen[0]}" if frozen else str(meant)
    return type(meant)(f"instruction {failure.index} of the transaction would fail: {words}")
