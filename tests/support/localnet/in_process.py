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

from dexexec.localnet.blocks import LAMPORTS_PER_BYTE, Consensus
from dexexec.localnet.journal import Journal
from dexexec.localnet.ledger import Ledger
from dexexec.localnet.rpc.server import Cluster, make_server
from dexexec.localnet.runtime import Runtime
from dexexec.settlement.solana.transaction import associated_token_account

SOL = 1_000_000_000
JSON = {"Content-Type": "application/json"}
NO_PREFLIGHT = TxOpts(skip_preflight=True)


class RpcRefusedError(Exception):
    """A JSON-RPC error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.code = error["code"]
        self.message = error["message"]
        self.data = error.get("data")


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
        """Makes slots."""
        await self.rpc("localnet_advanceSlots", slots)

    async def set_faults(self, **faults: Any) -> None:
        """Sets the first node's faults."""
        await set_faults(self.url, **faults)

    async def funded(self, lamports: int = 10 * SOL) -> Keypair:
        """A new wallet with lamports."""
        wallet = Keypair()
        await self.client.request_airdrop(wallet.pubkey(), lamports)
        return wallet

    async def balance(self, address: Pubkey, commitment: Commitment = Processed) -> int:
        """Lamports at an address."""
        return (await self.client.get_balance(address, commitment)).value

    async def token_balance(self, owner: str, mint: str) -> int:
        """Base units in the owner's associated token account, as processed; 0 if it does not exist."""
        options = {"encoding": "jsonParsed", "commitment": "processed"}
        account = (await self.rpc("getAccountInfo", associated_token_account(owner, mint), options))["value"]
        return int(account["data"]["parsed"]["info"]["tokenAmount"]["amount"]) if account else 0

    async def blockhash(self, commitment: Commitment = Processed) -> Hash:
        """The latest blockhash."""
        return (await self.client.get_latest_blockhash(commitment)).value.blockhash

    async def signed(self, steps: Sequence[Instruction], *signers: Keypair) -> VersionedTransaction:
        """A transaction with the latest blockhash; the first signer pays."""
        return sign(steps, *signers, blockhash=await self.blockhash())

    async def land(self, steps: Sequence[Instruction], *signers: Keypair) -> Signature:
        """Sends a transaction, which has landed and succeeded unless this raises."""
        return await self.send(await self.signed(steps, *signers))

    async def send(self, transaction: VersionedTransaction, options: TxOpts | None = None) -> Signature:
        """Sends a transaction, by default with preflight at commitment processed."""
        options = options or TxOpts(preflight_commitment=Processed)
        return (await self.client.send_transaction(transaction, options)).value

    async def status(self, signature: Signature, *, search: bool = False) -> Any:
        """The status of one signature as JSON, None if it is not found."""
        statuses = await self.rpc("getSignatureStatuses", [str(signature)], {"searchTransactionHistory": search})
        return statuses["value"][0]


async def set_faults(url: str, **faults: Any) -> None:
    """Sets the faults of the node at `url`; without faults it behaves again."""
    await rpc(url, "localnet_setFaults", faults)


def sign(steps: Sequence[Instruction], *signers: Keypair, blockhash: Hash) -> VersionedTransaction:
    """A transaction of version 0; the first signer pays."""
    return VersionedTransaction(MessageV0.try_compile(signers[0].pubkey(), steps, [], blockhash), signers)


def pay(sender: Keypair, to: Pubkey, lamports: int) -> Instruction:
    """A transfer of lamports."""
    return transfer(TransferParams(from_pubkey=sender.pubkey(), to_pubkey=to, lamports=lamports))


def encoded(transaction: VersionedTransaction | bytes) -> str:
    """A transaction in base64."""
    return base64.b64encode(bytes(transaction)).decode()


@asynccontextmanager
async def run_localnet(
    folder: Path,
    *,
    allow_faults: bool = True,
    now: Callable[[], float] = time.time,
    consensus: Consensus = Consensus.TOWER,
    lamports_per_byte: int = LAMPORTS_PER_BYTE,
) -> AsyncIterator[InProcessLocalnet]:
    """A localnet on a free port; `now` is its Unix time (s). Entered again with the same folder, it goes on. Most tests
    look at the steps from processed to finalized, of which only the older consensus has all."""
    with closing(Journal(folder)) as journal:
        ledger = Ledger(journal, Runtime(lamports_per_byte), now, consensus=consensus)
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
