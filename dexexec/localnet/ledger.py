"""The chain: a transaction lands in the newest block at most once, is kept, and can be taken back only by a fork.

One transaction is: may it land (signature not seen, blockhash not too old) -> executed in memory -> committed to the
journal -> answered. A process that is killed in between has lost the first two together. If the journal refuses, memory
is put back, so that both always tell the same. A transaction that fails on chain has landed: its fee is paid, and it is
kept with its error. One that fails before it is executed leaves nothing.
"""

import secrets
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from solders.account import Account
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM
from solders.system_program import TransferParams, transfer
from solders.token.state import Mint
from solders.transaction import VersionedTransaction

from dexexec.localnet.blocks import MAX_LAG, Block, Blocks, Commitment
from dexexec.localnet.faucet import FaucetError, funding_instructions, new_mint
from dexexec.localnet.history import AccountHistory
from dexexec.localnet.journal import Journal, LandedTransaction
from dexexec.localnet.rpc import encoding
from dexexec.localnet.rpc.transaction_encoding import make_meta
from dexexec.localnet.runtime import ExecutionResult, Runtime

FAUCET_LAMPORTS = 10**18
MEMO = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
SLOT_HASHES = 513

Listener = Callable[[bytes | None], None]
"""Told the signature of a transaction that landed, or None after a new block or a fork."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A transaction as it was sent: decoded, its signatures checked."""

    transaction: VersionedTransaction
    raw: bytes

    @property
    def signature(self) -> bytes:
        """The first signature, by which a transaction is known."""
        return bytes(self.transaction.signatures[0])


class Ledger:
    """The only owner of journal and runtime. `now` is Unix time in seconds."""

    def __init__(self, journal: Journal, runtime: Runtime, now: Callable[[], float]) -> None:
        self._journal, self._runtime, self._now = journal, runtime, now
        self._history: AccountHistory[Pubkey, Account] = AccountHistory()
        self._pending: dict[bytes, tuple[int, Submission]] = {}
        self.listeners: list[Listener] = []
        if journal.meta("genesis") is None:
            self._found()
        self.genesis_hash = str(Hash(journal.meta("genesis") or b""))
        self._faucet = Keypair.from_bytes(journal.meta("faucet") or b"")
        self._load()
        self.tick()  # nothing lands in the genesis block, which is finalized from the start

    def _found(self) -> None:
        faucet = Keypair()
        native = Mint(None, 0, encoding.NATIVE_DECIMALS, True)
        accounts = {
            faucet.pubkey(): Account(FAUCET_LAMPORTS, b"", SYSTEM),
            encoding.NATIVE_MINT: Account(self._runtime.rent_exempt(encoding.MINT_SIZE), bytes(native), encoding.TOKEN),
        }
        genesis = Block(0, 0, _random_hash(), int(self._now()))
        meta = {"faucet": bytes(faucet), "genesis": secrets.token_bytes(32)}
        self._journal.found(meta, _stored(accounts), genesis)

    def _load(self) -> None:
        marks = (int(self._journal.meta(name) or b"0") for name in ("next_slot", "root_slot"))
        self.blocks = Blocks(self._journal.blocks(), *marks)
        self._begin()
        accounts = [(Pubkey(address), Account.from_bytes(data)) for address, data in self._journal.accounts()]
        for address, account in sorted(accounts, key=lambda one: one[1].executable):  # a program after its data
            self._runtime.put(address, account)
        for slot, key, before in self._journal.before():
            self._history.record(slot, Pubkey(key), None if before is None else Account.from_bytes(before))

    # Time

    def tick(self) -> Block:
        """A new block; what was to land late and is due lands in it."""
        block = self.blocks.next(_random_hash(), int(self._now()))
        oldest = self.blocks.at(Commitment.FINALIZED, MAX_LAG).slot
        self._journal.block(block, oldest)
        self.blocks.append(block)
        self._history.forget_before(oldest)
        self._begin()
        for signature, (slot, submission) in list(self._pending.items()):
            if slot <= block.slot:
                del self._pending[signature]
                self.land(submission)
        self._tell(None)
        return block

    def fork(self, count: int) -> list[bytes]:
        """The newest blocks (at most 31, none that is finalized) never were, nor what landed in them; a new one takes
        their place. The signatures that are gone."""
        root = self.blocks.at(Commitment.FINALIZED).slot
        self.blocks.fork(count)
        slot = self.blocks.tip.slot
        accounts = self._history.since(slot)
        marks = {"next_slot": self.blocks.next_slot, "root_slot": root}
        gone = self._journal.fork(slot, _stored(accounts), marks)
        for address, account in accounts.items():
            self._runtime.put(address, account)
        self._history.forget_after(slot)
        self.tick()
        return gone

    # Transactions

    def refusal(self, submission: Submission, view: Block) -> str | None:
        """Why it may not land, as a TransactionError; None if it may. A node at `view` is asked."""
        if self.blocks.usable(str(submission.transaction.message.recent_blockhash), view) is None:
            return "BlockhashNotFound"
        known = self._journal.transaction(submission.signature)
        return "AlreadyProcessed" if known and known.slot <= view.slot else None

    def submit(self, submission: Submission, delay: int) -> None:
        """Let it land now, or `delay` slots later. What may not land vanishes, as on a cluster."""
        if delay:
            self._pending.setdefault(submission.signature, (self.blocks.tip.slot + delay, submission))
        else:
            self.land(submission)

    def land(self, submission: Submission) -> LandedTransaction | None:
        """Execute and keep it; None if it may not land. Raises `sqlite3.Error` with nothing changed."""
        if self.refusal(submission, self.blocks.tip) is not None:
            return None
        transaction, message = submission.transaction, submission.transaction.message
        writable, readonly = self._runtime.loaded(message)
        keys = [*message.account_keys, *writable, *readonly]
        before = {key: self._runtime.account(key) for key in keys}
        outcome = self._runtime.execute(transaction)
        after = {key: self._runtime.account(key) for key in keys}
        changed = {key: after[key] for key in before if before[key] != after[key]}
        if outcome.err is not None and keys[0] not in changed:
            return None
        tip = self.blocks.tip
        meta = make_meta(outcome, keys, before, after, loaded=(writable, readonly), decimals=self.decimals)
        landed = LandedTransaction(submission.signature, tip.slot, tip.time, submission.raw, meta)
        fresh = {key: before[key] for key in changed if self._history.record(tip.slot, key, before[key])}
        try:
            self._journal.land(landed, {bytes(key) for key in keys}, _stored(changed), _stored(fresh))
        except sqlite3.Error:
            for key in changed:
                self._runtime.put(key, before[key])
            self._history.forget(tip.slot, fresh)
            raise
        self._tell(landed.signature)
        return landed

    def simulate(self, submission: Submission, view: Block, *, verify: bool) -> ExecutionResult:
        """What it would do on the accounts as they were at `view`."""
        message = submission.transaction.message
        writable, readonly = self._runtime.loaded(message)
        overrides = {}
        for key in {*message.account_keys, *writable, *readonly}:
            now = self._runtime.account(key)
            then = self._history.at(view.slot, key, now)
            if then is not now:
                overrides[key] = then
        return self._runtime.simulate(submission.transaction, overrides, verify=verify)

    def airdrop(self, to: Pubkey, lamports: int) -> LandedTransaction:
        """A transfer from the faucet. Raises `FaucetError`."""
        return self._give(
            [transfer(TransferParams(from_pubkey=self._faucet.pubkey(), to_pubkey=to, lamports=lamports))]
        )

    def fund(self, owner: Pubkey, mint: Pubkey | None, decimals: int, amount: int) -> LandedTransaction | None:
        """Let `owner` hold at least `amount` of a mint in its associated token account, or lamports without a mint;
        None if it does. A mint that is not there is made, the faucet its authority. Raises `FaucetError`."""
        faucet = self._faucet.pubkey()
        if mint is not None and self._runtime.account(mint) is None:
            self.add_accounts([(mint, new_mint(faucet, decimals, self.rent_exempt(encoding.MINT_SIZE)))])
        steps = funding_instructions(faucet, owner, mint, decimals, amount, at=self._runtime.account)
        return self._give(steps) if steps else None

    def _give(self, steps: list[Instruction]) -> LandedTransaction:
        """Land what the faucet pays for; the memo makes each time another transaction."""
        steps = [*steps, Instruction(MEMO, secrets.token_hex(8).encode(), [])]
        blockhash = Hash.from_string(self.blocks.tip.hash)
        message = MessageV0.try_compile(self._faucet.pubkey(), steps, [], blockhash)
        transaction = VersionedTransaction(message, [self._faucet])
        landed = self.land(Submission(transaction, bytes(transaction)))
        if landed is None or landed.err is not None:
            why = landed.err if landed else "the faucet is empty"
            raise FaucetError(f"{why}; a new account must become rent-exempt by it")
        return landed

    def transaction(self, signature: bytes, view: Block) -> LandedTransaction | None:
        """The transaction with that signature, if it landed and `view` shows it."""
        found = self._journal.transaction(signature)
        return found if found and found.slot <= view.slot else None

    def mentioning(
        self, address: Pubkey, view: Block, before: bytes | None, until: bytes | None, limit: int
    ) -> list[LandedTransaction]:
        """Transactions that name an address, newest first, between two signatures."""
        return self._journal.mentioning(bytes(address), view.slot, before, until, limit)

    def transaction_count(self) -> int:
        """How many landed since genesis."""
        return self._journal.count()

    def time_of(self, slot: int) -> int | None:
        """When a slot's block was made (Unix seconds), if there is one."""
        return self._journal.time_of(slot)

    # Accounts

    def account(self, address: Pubkey, view: Block) -> Account | None:
        """What was at an address at the end of `view`."""
        return self._history.at(view.slot, address, self._runtime.account(address))

    def owned_by(self, program: Pubkey, view: Block) -> dict[Pubkey, Account]:
        """A program's accounts at the end of `view`."""
        found: dict[Pubkey, Account | None] = {**self._runtime.owned_by(program)}
        found |= self._history.since(view.slot)
        return {address: account for address, account in found.items() if account and account.owner == program}

    def rent_exempt(self, size: int) -> int:
        """Lamports that an account with so many bytes of data must hold."""
        return self._runtime.rent_exempt(size)

    def decimals(self, mint: Pubkey) -> int | None:
        """A mint's decimals, None if it is no mint."""
        found = encoding.mint(self._runtime.account(mint))
        return found.decimals if found else None

    def add_programs(self, programs: Iterable[tuple[Pubkey, bytes]]) -> None:
        """Deploy programs, over what is there. Raises `ValueError` for what is not a program."""
        self._journal.put(_stored({address: self._runtime.add_program(address, elf) for address, elf in programs}))

    def add_accounts(self, accounts: Iterable[tuple[Pubkey, Account]]) -> list[Pubkey]:
        """Write accounts where there is none yet; those that were there. Raises `ValueError` for a bad program."""
        there, new = [], {}
        for address, account in sorted(accounts, key=lambda one: one[1].executable):
            if self._runtime.account(address) is not None:
                there.append(address)
            else:
                self._runtime.put(address, account)
                new[address] = account
        self._journal.put(_stored(new))
        return there

    def _begin(self) -> None:
        self._runtime.begin(self.blocks.newest(SLOT_HASHES))

    def _tell(self, what: bytes | None) -> None:
        for listener in list(self.listeners):
            listener(what)


def _stored(accounts: dict[Pubkey, Any]) -> dict[bytes, bytes | None]:
    return {bytes(address): None if account is None else bytes(account) for address, account in accounts.items()}


def _random_hash() -> str:
    return str(Hash(secrets.token_bytes(32)))
