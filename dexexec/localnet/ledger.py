"""The chain: a transaction lands in the newest block at most once, is stored, and is undone only by a fork.

Steps of one transaction: check that it may land, execute it in memory, commit it to the journal, answer. A process that
dies in between has lost the execution too. A transaction that fails on the chain has landed: it pays its fee and is
stored with its error.
"""

import secrets
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from solders.account import Account
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM
from solders.system_program import TransferParams, transfer
from solders.token.state import Mint
from solders.transaction import VersionedTransaction

from dexexec.errors import StartupError
from dexexec.localnet import sysvars
from dexexec.localnet.account_history import AccountHistory
from dexexec.localnet.block_archive import BlockArchive
from dexexec.localnet.blocks import MAX_LAG, Block, Blocks, Commitment, Consensus
from dexexec.localnet.execution_result import ExecutionResult
from dexexec.localnet.faucet import FaucetError, funding_instructions, new_mint
from dexexec.localnet.journal import Journal, LandedTransaction
from dexexec.localnet.rpc import encoding
from dexexec.localnet.rpc.transaction_encoding import make_meta
from dexexec.localnet.runtime import Runtime

FAUCET_LAMPORTS = 10**18
MEMO = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")

CERTIFICATE_SLOT = "certificate_slot"
CERTIFICATE_HASH = "certificate_hash"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainEvent:
    """A transaction that landed, accounts that were written without one, or a new block.

    `reverted` are the accounts that a fork set back before the new block; `forked` without any, if it undid none.
    """

    landed: bytes | None = None
    written: frozenset[Pubkey] = frozenset()
    reverted: frozenset[Pubkey] = frozenset()
    forked: bool = False


NEW_BLOCK = ChainEvent()
Listener = Callable[[ChainEvent], None]


@dataclass(frozen=True, slots=True)
class Submission:
    """A transaction as it was sent: decoded, with checked signatures."""

    transaction: VersionedTransaction
    raw: bytes

    @property
    def signature(self) -> bytes:
        """The first signature, which identifies the transaction."""
        return bytes(self.transaction.signatures[0])


class Ledger:
    """The only owner of journal and runtime. `now` is Unix time in seconds.

    Raises `StartupError` if the chain in the journal has migrated to Alpenglow and `consensus` is the older one.
    """

    def __init__(self, journal: Journal, runtime: Runtime, now: Callable[[], float], *, consensus: Consensus) -> None:
        self._journal = journal
        self._runtime = runtime
        self._now = now
        self._history: AccountHistory[Pubkey, Account] = AccountHistory()
        self._delayed: dict[bytes, tuple[int, Submission]] = {}
        self.listeners: list[Listener] = []
        if journal.meta("genesis") is None:
            self._create_genesis()
        self.genesis_hash = str(Hash(journal.meta("genesis") or b""))
        self._faucet = Keypair.from_bytes(journal.meta("faucet") or b"")
        self.identity = Pubkey(sha256(b"identity" + (journal.meta("genesis") or b"")).digest())
        """The only validator, which leads every slot."""
        # A chain is made under the older consensus and migrates, as every cluster did.
        self._load(Consensus.ALPENGLOW if journal.meta(CERTIFICATE_SLOT) else Consensus.TOWER)
        # Nothing may land in the genesis block, which is finalized from the start.
        self.tick()
        if consensus is Consensus.ALPENGLOW:
            self.migrate()
        elif self.blocks.consensus is Consensus.ALPENGLOW:
            raise StartupError(
                f"the chain in {journal.path} has migrated to alpenglow, and no chain goes back:"
                " give another --data-dir, or --consensus alpenglow"
            )

    def _create_genesis(self) -> None:
        faucet = Keypair()
        native = Mint(None, 0, encoding.NATIVE_DECIMALS, True)
        accounts = {
            faucet.pubkey(): Account(FAUCET_LAMPORTS, b"", SYSTEM),
            encoding.NATIVE_MINT: Account(self._runtime.rent_exempt(encoding.MINT_SIZE), bytes(native), encoding.TOKEN),
        }
        genesis = Block(0, 0, _random_hash(), int(self._now()))
        meta = {"faucet": bytes(faucet), "genesis": secrets.token_bytes(32)}
        self._journal.create_genesis(meta, _stored(accounts), genesis)

    def _load(self, consensus: Consensus) -> None:
        marks = (int(self._journal.meta(name) or b"0") for name in ("next_slot", "root_slot"))
        self.blocks = Blocks(self._journal.blocks(), *marks, consensus=consensus)
        self._begin_block()
        accounts = [(Pubkey(address), Account.from_bytes(data)) for address, data in self._journal.accounts()]
        # A program is loaded when its account is written, and reads its code from its data account then.
        for address, account in sorted(accounts, key=lambda entry: entry[1].executable):
            self._runtime.put(address, account)
        for slot, key, before in self._journal.before():
            self._history.record(slot, Pubkey(key), None if before is None else Account.from_bytes(before))

    # Time

    def tick(self, made: ChainEvent = NEW_BLOCK) -> Block:
        """Makes a new block, and lands delayed transactions that are due. Listeners get the event `made`."""
        block = self.blocks.next(_random_hash(), int(self._now()))
        # A node with the largest lag still shows its finalized accounts.
        oldest_needed = self.blocks.at(Commitment.FINALIZED, MAX_LAG).slot
        self._journal.add_block(block, oldest_needed)
        self.blocks.append(block)
        self._history.forget_before(oldest_needed)
        self._begin_block()
        for signature, (slot, submission) in list(self._delayed.items()):
            if slot <= block.slot:
                del self._delayed[signature]
                self.land(submission)
        self._notify(made)
        return block

    def fork(self, count: int) -> list[bytes]:
        """Removes the newest blocks (at most 31, none that is finalized) with their transactions, and makes a new one.
        Returns the signatures that are gone."""
        root = self.blocks.at(Commitment.FINALIZED).slot
        self.blocks.fork(count)
        slot = self.blocks.tip.slot
        accounts = self._history.since(slot)
        marks = {"next_slot": self.blocks.next_slot, "root_slot": root}
        gone = self._journal.fork(slot, _stored(accounts), marks)
        for address, account in accounts.items():
            self._runtime.put(address, account)
        self._history.forget_after(slot)
        self.tick(ChainEvent(reverted=frozenset(accounts), forked=True))
        return gone

    # Consensus

    def migrate(self) -> None:
        """Changes the consensus to Alpenglow for good, if that has not happened yet."""
        if self.blocks.consensus is Consensus.ALPENGLOW:
            return
        last = self.blocks.at(Commitment.FINALIZED)
        self._journal.put_meta({CERTIFICATE_SLOT: str(last.slot).encode(), CERTIFICATE_HASH: last.hash.encode()})
        self.blocks.migrate()
        self._notify(NEW_BLOCK)

    def certified_block(self) -> tuple[int, bytes] | None:
        """The slot and the id of the last block of the older consensus. None: the chain has not migrated."""
        slot = self._journal.meta(CERTIFICATE_SLOT)
        if slot is None:
            return None
        block_id = Hash.from_string((self._journal.meta(CERTIFICATE_HASH) or b"").decode())
        return int(slot), bytes(block_id)

    # Transactions

    def refusal(self, submission: Submission, view: Block) -> str | None:
        """Why a transaction may not land, as a TransactionError, by a node at `view`. None: it may."""
        if self.blocks.usable(str(submission.transaction.message.recent_blockhash), view) is None:
            return "BlockhashNotFound"
        known = self._journal.transaction(submission.signature)
        return "AlreadyProcessed" if known and known.slot <= view.slot else None

    def submit(self, submission: Submission, delay: int) -> None:
        """Lands a transaction now or `delay` slots later. As on a cluster, one that may not land disappears."""
        if delay:
            self._delayed.setdefault(submission.signature, (self.blocks.tip.slot + delay, submission))
        else:
            self.land(submission)

    def land(self, submission: Submission) -> LandedTransaction | None:
        """Executes and stores a transaction. None: it may not land. Raises `sqlite3.Error` with nothing changed."""
        if self.refusal(submission, self.blocks.tip) is not None:
            return None
        transaction = submission.transaction
        message = transaction.message
        writable, readonly = self._runtime.loaded(message)
        keys = [*message.account_keys, *writable, *readonly]
        before = {key: self._runtime.account(key) for key in keys}
        result = self._runtime.execute(transaction)
        after = {key: self._runtime.account(key) for key in keys}
        changed = {key: after[key] for key in before if before[key] != after[key]}
        # A failure that did not even charge the fee happened before the execution: it leaves no trace.
        if result.err is not None and keys[0] not in changed:
            return None
        tip = self.blocks.tip
        meta = make_meta(result, keys, before, after, loaded=(writable, readonly), decimals=self.decimals)
        landed = LandedTransaction(
            signature=submission.signature, slot=tip.slot, time=tip.time, raw=submission.raw, meta=meta
        )
        first_changes = {key: before[key] for key in changed if self._history.record(tip.slot, key, before[key])}
        try:
            self._journal.land(landed, {bytes(key) for key in keys}, _stored(changed), _stored(first_changes))
        except sqlite3.Error:
            # Memory must not be ahead of the disk.
            for key in changed:
                self._runtime.put(key, before[key])
            self._history.forget(tip.slot, first_changes)
            raise
        self._notify(ChainEvent(landed=landed.signature))
        return landed

    def simulate(self, submission: Submission, view: Block, *, verify: bool) -> ExecutionResult:
        """What a transaction would do with the accounts as of `view`."""
        message = submission.transaction.message
        writable, readonly = self._runtime.loaded(message)
        overrides = {}
        for key in {*message.account_keys, *writable, *readonly}:
            now = self._runtime.account(key)
            then = self._history.at(view.slot, key, now)
            if then is not now:
                overrides[key] = then
        return self._runtime.simulate(submission.transaction, overrides, verify=verify)

    @property
    def faucet(self) -> Pubkey:
        """Holds all lamports that are not in use."""
        return self._faucet.pubkey()

    def airdrop(self, to: Pubkey, lamports: int) -> LandedTransaction:
        """Transfers lamports from the faucet. Raises `FaucetError`."""
        return self._land_from_faucet(
            [transfer(TransferParams(from_pubkey=self._faucet.pubkey(), to_pubkey=to, lamports=lamports))]
        )

    def fund(self, owner: Pubkey, mint: Pubkey | None, decimals: int, amount: int) -> LandedTransaction | None:
        """Gives `owner` at least `amount` of a mint in its associated token account; without a mint, lamports.

        None: it holds that already. A mint that does not exist is created with the faucet as its authority. Raises
        `FaucetError`.
        """
        faucet = self._faucet.pubkey()
        if mint is not None and self._runtime.account(mint) is None:
            self.add_accounts([(mint, new_mint(faucet, decimals, self.rent_exempt(encoding.MINT_SIZE)))])
        steps = funding_instructions(faucet, owner, mint, decimals, amount, account_at=self._runtime.account)
        return self._land_from_faucet(steps) if steps else None

    def _land_from_faucet(self, steps: list[Instruction]) -> LandedTransaction:
        # Two equal transfers under one blockhash would be the same transaction; a random memo makes them differ.
        steps = [*steps, Instruction(MEMO, secrets.token_hex(8).encode(), [])]
        blockhash = Hash.from_string(self.blocks.tip.hash)
        # Legacy, so that clients can read it without any option, as they can a cluster's airdrops.
        message = Message.new_with_blockhash(steps, self._faucet.pubkey(), blockhash)
        transaction = VersionedTransaction(message, [self._faucet])
        landed = self.land(Submission(transaction, bytes(transaction)))
        if landed is None or landed.err is not None:
            why = landed.err if landed else "the faucet is empty"
            raise FaucetError(f"{why}; a new account must become rent-exempt by it")
        return landed

    def transaction(self, signature: bytes, view: Block) -> LandedTransaction | None:
        """The transaction with that signature, if it landed and is visible at `view`."""
        found = self._journal.transaction(signature)
        return found if found and found.slot <= view.slot else None

    def mentioning(
        self, address: Pubkey, view: Block, before: bytes | None, until: bytes | None, limit: int
    ) -> list[LandedTransaction]:
        """The transactions that name an address, newest first, between two signatures."""
        return self._journal.mentioning(bytes(address), view.slot, before, until, limit)

    def transaction_count(self) -> int:
        """How many transactions have landed since genesis."""
        return self._journal.count()

    def between(self, first: int, last: int) -> list[LandedTransaction]:
        """The transactions of the slots from `first` to `last`, in their order."""
        return self._journal.between(first, last)

    @property
    def archive(self) -> BlockArchive:
        """The blocks by slot, also old ones."""
        return self._journal.archive

    # Accounts

    def account(self, address: Pubkey, view: Block) -> Account | None:
        """The account at an address, as of the end of `view`."""
        now = self._runtime.account(address)
        if address in sysvars.CHANGING and now is not None and view != self.blocks.tip:
            earlier = self.blocks.before(view, sysvars.MAX_SLOT_HASHES) if address == sysvars.SLOT_HASHES else ()
            return sysvars.as_of(address, now, view, earlier)
        return self._history.at(view.slot, address, now)

    def balances(self, view: Block) -> dict[Pubkey, int]:
        """The lamports of all accounts that the ledger stores, as of the end of `view`."""
        found = {Pubkey(address): Account.from_bytes(data).lamports for address, data in self._journal.accounts()}
        earlier = self._history.since(view.slot)
        return found | {address: account.lamports if account else 0 for address, account in earlier.items()}

    def owned_by(self, program: Pubkey, view: Block) -> dict[Pubkey, Account]:
        """A program's accounts, as of the end of `view`."""
        found: dict[Pubkey, Account | None] = {**self._runtime.owned_by(program)}
        # Accounts that left the program since are not in the runtime's list, but in the history.
        found |= self._history.since(view.slot)
        return {address: account for address, account in found.items() if account and account.owner == program}

    def changed(self, first: int, last: int) -> set[Pubkey]:
        """The accounts that transactions changed in the slots from `first` to `last`. Old slots are forgotten."""
        return self._history.changed(first, last)

    def rent_exempt(self, size: int) -> int:
        """Lamports that an account with `size` bytes of data must hold."""
        return self._runtime.rent_exempt(size)

    def decimals(self, mint: Pubkey) -> int | None:
        """The decimals of a mint. None: it is not a mint."""
        state = encoding.mint(self._runtime.account(mint))
        return state.decimals if state else None

    def add_programs(self, programs: Iterable[tuple[Pubkey, bytes]]) -> None:
        """Deploys programs over what their addresses hold. Raises `ValueError` for an invalid program."""
        self._journal.put(_stored({address: self._runtime.add_program(address, elf) for address, elf in programs}))

    def add_accounts(self, accounts: Iterable[tuple[Pubkey, Account]]) -> list[Pubkey]:
        """Writes accounts at unused addresses. Returns the addresses in use. Raises `ValueError` for an invalid
        program."""
        in_use: list[Pubkey] = []
        added: dict[Pubkey, Account] = {}
        for address, account in sorted(accounts, key=lambda entry: entry[1].executable):
            if self._runtime.account(address) is not None:
                in_use.append(address)
            else:
                self._runtime.put(address, account)
                added[address] = account
        self._journal.put(_stored(added))
        self._notify(ChainEvent(written=frozenset(added)))
        return in_use

    def _begin_block(self) -> None:
        self._runtime.begin(self.blocks.newest(1 + sysvars.MAX_SLOT_HASHES))

    def _notify(self, event: ChainEvent) -> None:
        # A listener may remove itself, so the list is copied.
        for listener in list(self.listeners):
            listener(event)


def _stored(accounts: dict[Pubkey, Any]) -> dict[bytes, bytes | None]:
    return {bytes(address): None if account is None else bytes(account) for address, account in accounts.items()}


def _random_hash() -> str:
    return str(Hash(secrets.token_bytes(32)))
