"""The metrics of nodes: each request by its outcome, and never a key of a node's URL."""

from urllib.parse import urlsplit

from prometheus_client import generate_latest

from dexexec.clock import SystemClock
from dexexec.observe.metrics import Metrics
from dexexec.observe.metrics.instruments import PrometheusInstruments
from dexexec.observe.observer import Observer, make_logger
from dexexec.settlement.solana.rpc import RpcChain
from dexexec.venue import VenueError
from tests.support.localnet.rpc_chains import open_chain
from tests.support.localnet.scripted_node import JsonRpcError, scripted_node

KEYS = ("pathKEY123", "queryKEY123", "userKEY123", "passKEY123")


async def test_requests_are_counted_by_outcome_and_no_key_of_the_url_shows() -> None:
    instruments = PrometheusInstruments()
    metrics = Metrics(instruments)
    observer = Observer(make_logger("critical"), metrics)
    answers = {
        "getGenesisHash": lambda _: "hash",
        "getRecentPrioritizationFees": lambda _: JsonRpcError(-32602),
        "getProgramAccounts": lambda _: JsonRpcError(-32010),
    }
    async with scripted_node("", **answers) as node:
        url = node.url.replace("http://", "http://userKEY123:passKEY123@") + "/v2/pathKEY123?api-key=queryKEY123"
        chain = RpcChain([url], SystemClock(), observer, requests_per_second=50, meter=metrics)
        async with open_chain(chain):
            assert await chain.genesis_hash() == "hash"
            for failing in (chain.recent_priority_fees([]), chain.token_accounts("owner")):
                try:
                    await failing
                except VenueError:
                    continue
            for budget, left in chain.budget_left().items():
                metrics.budget_seen(budget, left)

        def count(method: str, outcome: str) -> float | None:
            labels = {"node": urlsplit(node.url).netloc, "method": method, "outcome": outcome}
            return instruments.registry.get_sample_value("dexexec_rpc_requests_total", labels)

        assert count("getGenesisHash", "ok") == 1
        assert count("getRecentPrioritizationFees", "refused") == 1
        assert count("getTokenAccountsByOwner", "failed")
        shown = instruments.registry.get_sample_value("dexexec_rpc_budget_available_requests", {"budget": "all"})
        assert shown is not None
        assert 0 < shown <= 50
        text = generate_latest(instruments.registry).decode()
        assert [key for key in KEYS if key in text] == []
