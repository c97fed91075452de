"""An upgrade on a localnet is seen through its node, and recorded in Postgres: the venue is quarantined."""

from dataclasses import dataclass, field
from pathlib import Path

from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey

from dexexec.clock import SystemClock
from dexexec.feed.quarantine_watch import QuarantineWatch
from dexexec.settlement.solana.message import Program
from dexexec.settlement.solana.rpc import Localnet
from dexexec.settlement.solana.warm.deployment_watch import DeploymentWatch
from dexexec.store import Address, ProgramVersions
from tests.support.localnet.in_process import InProcessLocalnet, run_localnet
from tests.support.localnet.rpc_chains import RecordingListener, open_chain
from tests.support.parts import open_database

PROGRAM = Pubkey.new_unique()
VENUES = {"acme": frozenset({str(PROGRAM)})}


@dataclass
class Troubles:
    """Code that could not be read."""

    lines: list[str] = field(default_factory=list)

    def deployment_unknown(self, venue: str, program: str, why: str) -> None:
        self.lines.append(why)


def code_of(program: str) -> bytes:
    """The code of one of Solana's own programs."""
    account = LiteSVM().get_account(Pubkey.from_string(program))
    assert account is not None
    return bytes(account.data)


async def deploy(net: InProcessLocalnet, elf: bytes) -> None:
    """Deploys the program; the node shows it as confirmed on return."""
    net.ledger.add_programs([(PROGRAM, elf)])
    await net.advance(40)


async def test_promise_34_an_upgrade_on_chain_quarantines_its_venue_also_after_a_restart(
    tmp_path: Path, database_address: Address
) -> None:
    clock = SystemClock()
    troubles = Troubles()
    first, second = (code_of(program) for program in (Program.MEMO, Program.ASSOCIATED_TOKEN))
    async with (
        run_localnet(tmp_path) as net,
        open_chain(Localnet([net.url], clock, RecordingListener())) as chain,
        open_database(database_address) as database,
    ):
        record = ProgramVersions(database)
        quarantines = QuarantineWatch(record, clock)

        async def refusal() -> str:
            # A watch of its own, as after a restart: what holds is in Postgres.
            await DeploymentWatch(VENUES, chain, record, clock, observer=troubles, genesis="localnet").look()
            await quarantines.look()
            return quarantines.refusal("acme")

        await deploy(net, first)
        assert await refusal() == ""
        assert await refusal() == ""
        await deploy(net, second)
        assert f"its program {PROGRAM} has other code than before" in await refusal()
        await deploy(net, first)
        assert await refusal() == "", "the accepted code is back"
    assert troubles.lines == []
