"""A localnet for tests: in this process with its clock by hand, so that a test decides when a slot passes."""

import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Commitment, Processed
from solana.rpc.models import TxOpts
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.testing import bind_unused_port

from dexexec.localnet.journal import Journal
from dexexec.localnet.ledger import Ledger
from dexexec.localnet.rpc.server import Cluster, make_server
from dexexec.localnet.runtime import Runtime

SOL = 1_000_000_000
JSON = {"Content-Type": "application/json"}
NO_PREFLIGHT = TxOpts(skip_preflight=True)


class RpcRefusedError(Exception):
    """A JSON-RPC error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.code, self.message, self.data = error["code"], error["message"], error.get("data")


async def post(url: str, body: str | bytes, headers: dict[str, str] | None = None) -> HTTPResponse:
    """One HTTP request; returns the answer with any status."""
    client = AsyncHTTPClient(force_instance=True)
    with closing(client):
        return await client.fetch(
            url, method="POST", body=body, headers=JSON if headers is None else headers, raise_error=False
        )


async def rpc(url: str, method: str, *params: Any) -> Any:
    """The result of a call; `RpcRefusedError` for an error."""
    document = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    response = await post(url, json.dumps(document))
    assert response.code == 200, response.body
    answer = json.loads(response.body)
    assert (answer["jsonrpc"], answer["id"]) == ("2.0", 1)
    if "error" in answer:
        raise RpcRefusedError(answer["error"])
    return answer["result"]


@dataclass(frozen=True, slots=True)
class InProcessLocalnet:
    """A running localnet, with solana-py's client at commitment processed."""

    url: str
    ledger: Ledger
    client: AsyncClient

    async def rpc(self, method: str, *params: Any) -> Any:
        """The result of a call to the first node."""
        return await rpc(self.url, method, *params)

    async def advance(self, slots: int) -> None:
        """Let slots pass."""
        await self.rpc("localnet_advanceSlots", slots)

    async def set_faults(self, **faults: Any) -> None:
        """Set the first node's faults."""
        await self.rpc("localnet_setFaults", faults)

    async def funded(self, lamports: int = 10 * SOL) -> Keypair:
        """A new wallet with lamports."""
        wallet = Keypair()
        await self.client.request_airdrop(wallet.pubkey(), lamports)
        return wallet

    async def balance(self, address: Pubkey, commitment: Commitment = Processed) -> int:
        """Lamports at an address."""
        return (await self.client.get_balance(address, commitment)).value

    async def blockhash(self, commitment: Commitment = Processed) -> Hash:
        """The latest blockhash."""
        return (await self.client.get_latest_blockhash(commitment)).value.blockhash

    async def signed(self, steps: Sequence[Instruction], *signers: Keypair) -> VersionedTransaction:
        """A transaction with the latest blockhash; the first signer pays."""
        return sign(steps, *signers, blockhash=await self.blockhash())

    async def land(self, steps: Sequence[Instruction], *signers: Keypair) -> Signature:
        """Send it; it has landed and succeeded, or preflight raised."""
        return await self.send(await self.signed(steps, *signers))

    async def send(self, transaction: VersionedTransaction, options: TxOpts | None = None) -> Signature:
        """Send it with preflight at commitment processed, or with other options."""
        options = options or TxOpts(preflight_commitment=Processed)
        return (await self.client.send_transaction(transaction, options)).value

    async def status(self, signature: Signature, *, search: bool = False) -> Any:
        """The status of one signature as JSON, None if it is not found."""
        found = await self.rpc("getSignatureStatuses", [str(signature)], {"searchTransactionHistory": search})
        return found["value"][0]


def sign(steps: Sequence[Instruction], *signers: Keypair, blockhash: Hash) -> VersionedTransaction:
    """A transaction of version 0; the first signer pays."""
    return VersionedTransaction(MessageV0.try_compile(signers[0].pubkey(), steps, [], blockhash), signers)


def pay(sender: Keypair, to: Pubkey, lamports: int) -> Instruction:
    """A transfer of lamports."""
    return transfer(TransferParams(from_pubkey=sender.pubkey(), to_pubkey=to, lamports=lamports))


def encoded(transaction: VersionedTransaction) -> str:
    """As it goes over the wire, in base64."""
    return base64.b64encode(bytes(transaction)).decode()


@asynccontextmanager
async def run_localnet(
    folder: Path, *, allow_faults: bool = True, now: Callable[[], float] = time.time
) -> AsyncIterator[InProcessLocalnet]:
    """A localnet on a free port; `now` is its Unix time (s). Entered again with the same folder, it goes on."""
    with closing(Journal(folder)) as journal:
        ledger = Ledger(journal, Runtime(), now)
        cluster = Cluster(ledger, allow_faults=allow_faults)
        server = make_server(cluster)
        listening, port = bind_unused_port()
        server.add_socket(listening)
        url = f"http://127.0.0.1:{port}"
        try:
            async with AsyncClient(url, commitment=Processed) as client:
                yield InProcessLocalnet(url, ledger, client)
        finally:
            server.stop()
            cluster.close()
            await server.close_all_connections()
