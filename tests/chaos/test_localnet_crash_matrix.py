"""The crash matrix on real signed transactions: a localnet is the chain, and the oracle of what landed.

The cases share two localnets, one with each consensus. Each case has a wallet and vaults of its own, so that what it
moved can be counted to the unit.
"""

import secrets
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from solders.keypair import Keypair

from dexexec.failpoints import Failpoint
from dexexec.localnet.blocks import Consensus
from tests.chaos.test_crash_matrix import UNTIL_FINAL, Case, survive
from tests.conftest import Servers
from tests.support.chaos.case import all_survive
from tests.support.chaos.victim import Fault
from tests.support.localnet.process import localnet_processes
from tests.support.service.localnet import SLOT_MS, settings_on
from tests.support.service.localnet_promise_checks import LocalnetChain

SETTLING = [
    Failpoint.QUOTED,
    Failpoint.CHOSEN,
    Failpoint.SIGNED,
    Failpoint.RECORDED,
    Failpoint.SENDING,
    Failpoint.SENT,
    Failpoint.PROVEN,
    Failpoint.CONCLUDED,
]
AT_ONCE = 5
"""The cases share the localnet processes."""
FINAL_SECONDS = 3.0
"""A confirmed order rests so long that its swap is final when it is looked up again."""


async def survive_on_localnet(servers: Servers, urls: Mapping[Consensus, str], case: Case) -> None:
    """Run one case with a wallet and vaults of its own."""
    url = urls[consensus_of(case)]
    wallet = Keypair()
    settings = settings_on(url, wallet) | {"DEXEXEC_MOCK_SEED": str(secrets.randbits(60))}
    if case.at in UNTIL_FINAL:
        settings["DEXEXEC_FINALITY_SECONDS"] = str(FINAL_SECONDS)
    await survive(servers, case, settings, LocalnetChain(url, str(wallet.pubkey())))


def consensus_of(case: Case) -> Consensus:
    """Only the older consensus has the places between confirmed and final. The others take turns."""
    if case.at in UNTIL_FINAL:
        return Consensus.TOWER
    return list(Consensus)[SETTLING.index(case.at) // 2 % 2]


def cases(fault: Fault) -> Sequence[Case]:
    """Every place from the quotes to the end. An exception, too, where the simulated chain does not come."""
    raised = [Case(Failpoint.WATCHED, Fault.RAISE)] if fault is Fault.KILL else []
    return raised + [Case(at, fault) for at in (*UNTIL_FINAL, *SETTLING)]


def half(fault: Fault) -> Sequence[Case]:
    """Every second case: the whole suite strikes all of these places on the simulated chain as well."""
    return cases(fault)[::2]


@pytest.mark.timeout(300)
@pytest.mark.gen_test(timeout=240)
@pytest.mark.parametrize(
    "struck",
    [
        pytest.param(half(Fault.KILL), id="kill"),
        *(
            pytest.param(cases(fault), id=f"{fault} everywhere", marks=pytest.mark.long)
            for fault in (Fault.KILL, Fault.STALL)
        ),
    ],
)
async def test_no_transaction_is_lost_or_doubled_by_a_fault_while_it_settles(
    struck: Sequence[Case], servers: Servers, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        urls = {}
        for mode in Consensus:
            (tmp_path / mode).mkdir()
            start = stack.enter_context(localnet_processes(tmp_path / mode))
            urls[mode] = await start("--slot-ms", str(SLOT_MS), "--consensus", mode).url()
        await all_survive(struck, partial(survive_on_localnet, servers, urls), AT_ONCE)
