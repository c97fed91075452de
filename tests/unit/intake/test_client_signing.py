"""Signatures of clients: what is answered where none is awaited."""

from base64 import b64encode

import pytest

from dexexec.domain.handout import AwaitedOrder
from dexexec.domain.status import Status
from dexexec.domain.transaction_bytes import join
from dexexec.intake.client_signing import ClientSigning
from dexexec.intake.signing_errors import NoSignatureAwaitedError
from dexexec.testing.clock import ManualClock
from tests.support.fakes.queue import MemoryQueue, MemoryRedis
from tests.support.memory_ports import MemoryStore
from tests.support.parts import new_order

SENT = b64encode(join(b"message", [bytes(64)])).decode()


@pytest.mark.parametrize("recorded", [b'{"swap":"of the simulated chain"}', b"{", b""])
async def test_an_order_whose_transaction_is_not_one_of_solana_awaits_no_signature(recorded: bytes) -> None:
    store = MemoryStore(ManualClock())
    store.awaited_order = AwaitedOrder(
        status=Status.SUBMITTED, ended=False, wallet=None, recorded=recorded, recorded_n=1
    )
    signing = ClientSigning(store, MemoryQueue(MemoryRedis()), lambda _, __, ___: True)
    with pytest.raises(NoSignatureAwaitedError, match="signed by the service"):
        await signing.sign(new_order().id, f'{{"transaction": "{SENT}"}}'.encode())
