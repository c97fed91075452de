"""The localnet's ledger under a random mix of transfers, blocks and forks: disk and memory always agree."""

import random
import time
from contextlib import closing
from pathlib import Path

import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from dexexec.localnet.blocks import Commitment, Consensus
from dexexec.localnet.journal import Journal
from dexexec.localnet.ledger import Ledger, Submission
from dexexec.localnet.runtime import Runtime
from tests.support.localnet.in_process import SOL, pay, sign

FEE = 5_000


class Model:
    """What a client that sees every landing and every fork expects: signature -> what it moved."""

    def __init__(self, ledger: Ledger, wallets: list[Keypair]) -> None:
        self.ledger, self.wallets = ledger, wallets
        self.sent: dict[bytes, tuple[Submission, Pubkey, Pubkey, int]] = {}
        self.landed: set[bytes] = set()

    def send(self, rng: random.Random) -> None:
        """Something new or, as often, something that was sent before."""
        if self.sent and rng.random() < 0.5:
            submission = rng.choice(list(self.sent.values()))[0]
        else:
            sender, to = rng.sample(self.wallets, 2)
            amount = rng.randrange(1, SOL)
            recent = Hash.from_string(self.ledger.blocks.tip.hash)
            transaction = sign([pay(sender, to.pubkey(), amount)], sender, blockhash=recent)
            submission = Submission(transaction, bytes(transaction))
            self.sent[submission.signature] = (submission, sender.pubkey(), to.pubkey(), amount)
        landed = self.ledger.land(submission)
        assert landed is None or submission.signature not in self.landed, "twice"
        if landed is not None:
            assert landed.err is None
            self.landed.add(submission.signature)

    def balance(self, wallet: Pubkey) -> int:
        """From what landed."""
        moved = [self.sent[signature] for signature in self.landed]
        spent = sum(amount + FEE for _, sender, _, amount in moved if sender == wallet)
        return 1_000 * SOL - spent + sum(amount for _, _, to, amount in moved if to == wallet)


@pytest.mark.parametrize("seed", range(4))
def test_balances_are_those_of_what_landed_and_disk_and_memory_agree(tmp_path: Path, seed: int) -> None:
    rng, wallets = random.Random(seed), [Keypair() for _ in range(3)]
    with closing(Journal(tmp_path)) as journal:
        ledger = Ledger(journal, Runtime(), time.time, consensus=Consensus.TOWER)
        for wallet in wallets:
            ledger.airdrop(wallet.pubkey(), 1_000 * SOL)
        for _ in range(32):
            ledger.tick()
        model = Model(ledger, wallets)
        for _ in range(400):
            match rng.random():
                case chance if chance < 0.7:
                    model.send(rng)
                case chance if chance < 0.97:
                    ledger.tick()
                case _:
                    model.landed -= set(ledger.fork(rng.randint(1, 5)))
        assert len(model.landed) > 50
        balances = {wallet.pubkey(): model.balance(wallet.pubkey()) for wallet in wallets}
        check(ledger, balances, model.landed)
    with closing(Journal(tmp_path)) as journal:
        check(Ledger(journal, Runtime(), time.time, consensus=Consensus.TOWER), balances, model.landed)


def check(ledger: Ledger, balances: dict[Pubkey, int], landed: set[bytes]) -> None:
    tip = ledger.blocks.at(Commitment.PROCESSED)
    for wallet, expected in balances.items():
        account = ledger.account(wallet, tip)
        assert account is not None
        assert account.lamports == expected
    assert {one for one in landed if ledger.transaction(one, tip) is None} == set()
    assert ledger.transaction_count() >= len(landed)
