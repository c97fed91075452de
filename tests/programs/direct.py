"""The shortest way from a quote to what a program does with it: a virtual machine in this process, without blocks.

It answers a venue's reads from the machine's accounts, executes the instructions that the venue built, and shows what
moved. Thousands of swaps take seconds. What is around a swap in the service (guard, simulation, confirmation) is tested
by `localnet.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from struct import pack
from typing import Any, NamedTuple

from solders.account import Account as MachineAccount
from solders.compute_budget import set_compute_unit_limit
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import Message
from solders.pubkey import Pubkey
from solders.token.associated import get_associated_token_address
from solders.transaction import Transaction
from solders.transaction_metadata import FailedTransactionMetadata

from dexexec.domain import base58, solana
from dexexec.domain.quote import Quote, SwapRequest
from dexexec.domain.solana import Account, AccountFilters, Accounts, ProgramAccounts
from dexexec.domain.swap import Blockhash
from dexexec.domain.token import Token, Tokens
from dexexec.testing.clock import ManualClock
from dexexec.venue import AnyVenue, VenueContext
from dexexec.venues.registry import VenueClass
from dexexec_adapters.solana.spl import SYSTEM, TOKEN, TOKEN_2022
from tests.support.raydium_accounts import RecordedChain

START = 1_790_000_000
"""Unix time (s) at which a machine begins."""
COMPUTE_UNITS = 1_400_000


class Moved(NamedTuple):
    """What a swap took from the trader and gave to it (base units)."""

    amount_in: int
    amount_out: int


class ProgramRefusalError(Exception):
    """The program ended the swap with an error; `code` is its own number, if it has one."""

    def __init__(self, code: int | None, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass
class DirectChain(RecordedChain):
    """The reads of a venue, answered by the machine."""

    machine: Any = None

    async def accounts(self, addresses: Sequence[str]) -> Accounts:
        """As the machine has them now."""
        assert len(addresses) <= 100, "a node shows no more in one answer"
        self.read.append(tuple(addresses))
        slot = self.machine.get_clock().slot
        return Accounts(slot, tuple(_shown(self.machine.get_account(Pubkey.from_string(one))) for one in addresses))

    async def program_accounts(self, program: str, filters: AccountFilters) -> ProgramAccounts:
        """Those of the machine that suit."""
        found = self.machine.get_program_accounts(Pubkey.from_string(program))
        shown = {str(address): _shown(account) for address, account in found}
        suiting = {address: one for address, one in shown.items() if one is not None and filters.suits(one)}
        return ProgramAccounts(self.machine.get_clock().slot, suiting)


class Direct:
    """A machine with programs (address -> ELF), a trader, and time by hand."""

    def __init__(self, programs: Mapping[str, bytes], seed: int = 1) -> None:
        self.machine: Any = LiteSVM().with_blockhash_check(check=False).with_sigverify(sigverify=False)
        # Without a history, a repeated transaction is executed again.
        self.machine = self.machine.with_transaction_history(0)
        for address, elf in programs.items():
            self.machine.add_program(Pubkey.from_string(address), elf)
        self.clock = ManualClock(START * 1000)
        self.chain = DirectChain({}, machine=self.machine)
        self.trader = Keypair.from_seed(seed.to_bytes(32, "little"))
        self.put(self.trader.pubkey(), SYSTEM, b"", 10**18)
        self._tokens: list[Token] = []
        self.move_time(0)

    # ---- what is there ----

    def put(self, address: Pubkey | str, owner: Pubkey | str, data: bytes, lamports: int = 0) -> None:
        """Write an account, with the lamports that its rent needs if none are given."""
        lamports = lamports or self.machine.minimum_balance_for_rent_exemption(len(data))
        self.machine.set_account(_key(address), MachineAccount(lamports, data, _key(owner)))

    def data(self, address: Pubkey | str) -> bytes:
        """The data of an account."""
        return bytes(self.machine.get_account(_key(address)).data)

    def mint(self, *, decimals: int = 6, program: str = TOKEN, extensions: bytes = b"", address: str = "") -> Token:
        """A new token. `extensions` are the bytes of Token-2022 after the mint's kind."""
        made = Token(address or str(Pubkey.new_unique()), f"T{len(self._tokens)}", decimals)
        body = pack("<I32sQBBI32s", 0, bytes(32), 2**63, decimals, 1, 0, bytes(32))
        if extensions:
            body = body.ljust(165, b"\0") + b"\1" + extensions
        self.put(made.mint, program, body)
        self._tokens.append(made)
        return made

    def hold(self, address: Pubkey | str, mint: str, owner: Pubkey | str, amount: int) -> None:
        """A token account with `amount`."""
        program = self.program_of(mint)
        data = (bytes(_key(mint)) + bytes(_key(owner)) + pack("<Q", amount) + bytes(36) + b"\1").ljust(165, b"\0")
        if program == TOKEN_2022:
            # An account of a mint with a transfer fee has room for what is withheld; others may have it too.
            data += b"\2" + pack("<HHQ", 2, 8, 0)
        self.put(address, program, data)

    def program_of(self, mint: str) -> str:
        """The token program of a mint."""
        return str(self.machine.get_account(_key(mint)).owner)

    def account_of(self, mint: str, owner: Pubkey | None = None) -> Pubkey:
        """The associated token account of a wallet, by default the trader's."""
        return get_associated_token_address(owner or self.trader.pubkey(), _key(mint), _key(self.program_of(mint)))

    def balance(self, address: Pubkey | str) -> int:
        """The amount in a token account; 0 if there is none."""
        account = self.machine.get_account(_key(address))
        return 0 if account is None else int.from_bytes(bytes(account.data)[64:72], "little")

    def move_time(self, seconds: int, slots: int = 0) -> None:
        """Let time pass, on the chain and for the venue."""
        self.clock.advance(seconds)
        now = self.machine.get_clock()
        now.slot += slots
        now.unix_timestamp = self.clock.unix_ms() // 1000
        self.machine.set_clock(now)

    # ---- what is done ----

    def venue(self, kind: VenueClass, **options: Any) -> AnyVenue:
        """A venue on this machine, as on a localnet."""
        made = kind.Options.model_validate({"cluster": "localnet", **options})
        return kind(VenueContext(self.clock, Tokens(tuple(self._tokens)), self.chain, made, cluster="localnet"))

    async def quote(self, venue: AnyVenue, request: SwapRequest) -> Quote:
        """What the venue quotes now."""
        return await venue.quote(request, self.clock.monotonic() + 60)

    async def realise(self, venue: AnyVenue, quote: Quote) -> Moved:
        """Execute a quote's instructions for a trader that has no more than the most that it may pay.

        Raises `ProgramRefusalError`.
        """
        payer = str(self.trader.pubkey())
        built = await venue.build(quote, payer, Blockhash(str(self.machine.latest_blockhash()), 2**40))
        assert isinstance(built, solana.SwapInstructions)
        sides = [self.account_of(mint) for mint in (quote.request.mint_in, quote.request.mint_out)]
        self.hold(sides[0], quote.request.mint_in, payer, quote.max_in)
        self.hold(sides[1], quote.request.mint_out, payer, 0)
        self.send(built.instructions)
        return Moved(quote.max_in - self.balance(sides[0]), self.balance(sides[1]))

    def send(self, steps: Sequence[solana.Instruction | Instruction], *signers: Keypair) -> None:
        """Execute instructions as one transaction of the trader. Raises `ProgramRefusalError`."""
        compiled = [set_compute_unit_limit(COMPUTE_UNITS), *map(_compiled, steps)]
        message = Message.new_with_blockhash(compiled, self.trader.pubkey(), self.machine.latest_blockhash())
        transaction = Transaction.new_unsigned(message)
        transaction.sign([self.trader, *signers], self.machine.latest_blockhash())
        result = self.machine.send_transaction(transaction)
        if isinstance(result, FailedTransactionMetadata):
            error: Any = result.err()
            code = getattr(getattr(error, "err", None), "code", None)
            raise ProgramRefusalError(code, "\n".join([str(error), *result.meta().logs()[-8:]]))


def transfer_fee(bps: int, most: int, *, epoch: int = 0) -> bytes:
    """The extension TransferFeeConfig: the same fee before and after `epoch`; `most` is in base units."""
    fee = pack("<QQH", epoch, most, bps)
    return pack("<HH", 1, 108) + bytes(72) + fee + fee


def _shown(account: Any) -> Account | None:
    return None if account is None else Account(str(account.owner), account.lamports, bytes(account.data))


def _key(address: Pubkey | str) -> Pubkey:
    return address if isinstance(address, Pubkey) else Pubkey(base58.decode(address))


def _compiled(step: solana.Instruction | Instruction) -> Instruction:
    if isinstance(step, Instruction):
        return step
    metas = [AccountMeta(_key(one.address), one.signer, one.writable) for one in step.accounts]
    return Instruction(_key(step.program), step.data, metas)
