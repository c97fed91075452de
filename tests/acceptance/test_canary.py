"""Known secrets in every setting that holds one, searched in everything that leaves the processes.

A service with TLS, keys, two workers and a node that repeats credentials runs through successes, failures, a crash, bad
requests and failed starts. The environment of a process is not searched: secrets are there by design.
"""

import asyncio
import json
import secrets
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest
import redis
from psycopg import sql
from solders.keypair import Keypair
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import websocket_connect

from dexexec.domain import base58
from dexexec.store import Address
from tests.conftest import Servers
from tests.support.canary import Canary, leaks
from tests.support.certificates import trusting, write_certificate
from tests.support.echoing_node import echoing_node
from tests.support.ports import free_port
from tests.support.service.client import PATH
from tests.support.service.process import QUICK, Launcher, Process
from tests.support.waiting import until

NAMED = """
[desk-1]
key = "{key}"

[desk-2]
keychain = "vault"
address = "{address}"
api_base_url = "http://127.0.0.1:{node}"
key_name = "desk-2"
token = "env:CANARY_TOKEN"
"""
ORDER = b'{"side":"buy","amount":"0.01"}'


@dataclass
class Planted:
    """The secrets of this run, and where they were found."""

    canaries: list[Canary] = field(default_factory=list)
    found: list[str] = field(default_factory=list)

    def text(self, name: str, secret: str = "") -> str:
        """A new secret, with characters that URLs and JSON write in other ways."""
        secret = secret or f"{secrets.token_hex(9)}/+ %\"'{secrets.token_hex(9)}"
        self.canaries.append(Canary.of_text(name, secret))
        return secret

    def word(self, name: str) -> str:
        """A new secret of letters and digits, as providers put them into URLs."""
        return self.text(name, f"k{secrets.token_hex(16)}")

    def wallet(self, name: str) -> bytes:
        """A new wallet's key."""
        key = bytes(Keypair())
        self.canaries.append(Canary.of_key(name, key))
        return key

    def search(self, place: str, content: bytes | str) -> None:
        """Note every secret in `content`."""
        self.found += leaks(self.canaries, place, content)


@dataclass(frozen=True)
class Api:
    """The service's port over TLS, whose answers are all searched."""

    planted: Planted
    url: str
    trusted: ssl.SSLContext
    token: str

    async def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """One request. Header names have `_` for `-`."""
        given = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        request = HTTPRequest(
            self.url + path,
            method=method,
            body=body,
            headers=given,
            ssl_options=self.trusted,
            allow_nonstandard_methods=True,
            request_timeout=20,
        )
        answer = await AsyncHTTPClient().fetch(request, raise_error=False)
        self.planted.search(f"the answer to {method} {path}", str(dict(answer.headers)).encode() + (answer.body or b""))
        return answer.code, answer.body

    async def post(self, **headers: str) -> str:
        """An accepted order's id."""
        status, body = await self.ask("POST", PATH, ORDER, **headers)
        assert status == 202, body
        return str(json.loads(body)["orderId"])

    async def follow(self, order_id: str) -> str:
        """The last status of an order, from its stream."""
        url = f"{self.url.replace('https', 'wss', 1)}{PATH}?orderId={order_id}"
        request = HTTPRequest(url, headers={"Authorization": f"Bearer {self.token}"}, ssl_options=self.trusted)
        stream = await websocket_connect(request)
        try:
            while True:
                message = await stream.read_message()
                assert isinstance(message, str)
                self.planted.search("the stream", message)
                if (event := json.loads(message)).get("final"):
                    return str(event["status"])
        finally:
            stream.close()


def as_url(address: Address, password: str) -> str:
    """DATABASE_URL of this Postgres."""
    place = f"host={quote(address.host, safe='')}&port={address.port}"
    return f"postgresql://{address.user}:{quote(password, safe='')}@/{address.database}?{place}"


def with_password(redis_url: str, password: str) -> str:
    """REDIS_URL with the default user, who needs no password and may use any."""
    parts = urlsplit(redis_url)
    return parts._replace(netloc=f"default:{quote(password, safe='')}@{parts.netloc.rpartition('@')[2]}").geturl()


def command_lines(pid: int) -> Iterator[tuple[str, bytes]]:
    """The command lines of a process and its descendants, as every user of the machine sees them."""
    yield f"the command line of {pid}", Path(f"/proc/{pid}/cmdline").read_bytes()
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from command_lines(int(child))


def tables(address: Address) -> Iterator[tuple[str, str]]:
    """Every row of every table, as a dump has it."""
    with psycopg.connect(address.conninfo()) as connection:
        names = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for schema, name in names:
            rows = connection.execute(sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(schema, name)))
            yield f"the table {name}", "\n".join(row[0] for row in rows)
        yield "the list of sessions", str(connection.execute("SELECT * FROM pg_stat_activity").fetchall())


def redis_content(url: str, prefix: str) -> Iterator[tuple[str, str]]:
    """Every key of this installation with its value."""
    with redis.Redis.from_url(url, decode_responses=True) as client:
        for key in client.scan_iter(f"*{prefix}*"):
            kind = client.type(key)
            match kind:
                case "string":
                    value: object = client.get(key)
                case "set":
                    value = client.smembers(key)
                case "zset":
                    value = client.zrange(key, 0, -1)
                case "hash":
                    value = client.hgetall(key)
                case _:
                    value = client.xrange(key)
            yield f"the Redis key {key}", f"{key} {value}"


@pytest.mark.gen_test(timeout=110)
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="command lines are read from /proc")
async def test_promise_14_no_secret_of_any_setting_leaves_the_processes(
    servers: Servers, database_address: Address, redis_prefix: str, tmp_path: Path
) -> None:
    planted = Planted()
    certificate, key_file = write_certificate(tmp_path)
    planted.text("the TLS key", key_file.read_text().splitlines()[1])
    base = {
        **QUICK,
        "DEXEXEC_REDIS_PREFIX": redis_prefix,
        "REDIS_URL": with_password(servers.redis_url, planted.text("the password of Redis")),
        "PG_HOST": database_address.host,
        "PG_PORT": str(database_address.port),
        "PG_USER": database_address.user,
        "PG_DATABASE": database_address.database,
        "PG_PASSWORD": planted.text("PG_PASSWORD"),
        "OTEL_EXPORTER_OTLP_HEADERS": f"x-team={planted.word('the headers of OpenTelemetry')}",
        "DEXEXEC_LOG_LEVEL": "debug",
    }
    by_url = {name: value for name, value in base.items() if not name.startswith("PG_")} | {
        "DATABASE_URL": as_url(database_address, planted.text("the password of DATABASE_URL"))
    }
    async with echoing_node() as node:
        user, password = planted.word("the user of the node"), planted.word("the password of the node")
        path, query = planted.word("the path of the node"), planted.word("the query of the node")
        rpc = f"http://{user}:{password}@127.0.0.1:{node}/v2/{path}/?api-key={query}"
        keys = [planted.wallet(f"the wallet as {shape}") for shape in ("base58", "JSON", "a file", "cut")]
        wallet_file = tmp_path / "wallet-key"
        wallet_file.touch(0o600)
        wallet_file.write_text(str(list(keys[2])))
        path, query = (
            planted.word("the path of a send-only endpoint"),
            planted.word("the query of a send-only endpoint"),
        )
        sends = f"http://127.0.0.1:{node}/{path}/?uuid={query}"
        chain = {"SOLANA_RPC_URL": rpc, "DEXEXEC_SEND_URLS": sends, "DEXEXEC_START_SECONDS": "0"}
        named = tmp_path / "wallets.toml"
        named.write_text(NAMED.format(key=f"file:{wallet_file}", address=Keypair().pubkey(), node=node))
        chain |= {"DEXEXEC_WALLETS": str(named), "CANARY_TOKEN": planted.text("the token of a keychain")}
        wallets = [base58.encode(keys[0]), json.dumps(list(keys[1])), f"file:{wallet_file}"]
        token = await asyncio.to_thread(new_key, planted, base)
        with Launcher(**base) as launcher:
            metrics = free_port()
            api = launcher.start(
                "api",
                DEXEXEC_TLS_CERT=str(certificate),
                DEXEXEC_TLS_KEY=str(key_file),
                DEXEXEC_REQUIRE_KEYS="1",
                DEXEXEC_LOG_FORMAT="json",
                DEXEXEC_METRICS_PORT=str(metrics),
                SOLANA_WALLET_SECRET_KEY=wallets[0],
                **chain,
            )
            launcher.environment = by_url
            text = launcher.start("worker", DEXEXEC_LOG_FORMAT="text", SOLANA_WALLET_SECRET_KEY=wallets[1], **chain)
            crashing = launcher.start(
                "worker",
                DEXEXEC_LOG_FORMAT="json",
                SOLANA_WALLET_SECRET_KEY=wallets[2],
                DEXEXEC_MOCK_FAILURE_RATE="1",
                **chain,
            )
            starts = failing_starts(launcher, planted, keys[3], key_file, chain)
            commands = [
                launcher.start(
                    *words, SOLANA_WALLET_SECRET_KEY=wallets[0], DEXEXEC_ADAPTERS="mock-raydium,raydium", **chain
                )
                for words in (
                    ["wallet"],
                    ["quote", "SOL", "USDC", "1"],
                    ["orders", "stuck"],
                    ["adapters", "check", "raydium"],
                )
            ]
            client = Api(planted, await asyncio.to_thread(lambda: api.url), trusting(certificate), token)
            await until(lambda: "worker started" in text.err and "worker started" in crashing.err)
            orders = [await client.post(Idempotency_Key=f"canary-{number}") for number in range(6)]
            for wallet in ("desk-1", "desk-2"):
                await client.ask("POST", PATH, json.dumps({"side": "buy", "amount": "1", "wallet": wallet}).encode())
            assert {await client.follow(order_id) for order_id in orders} <= {"confirmed", "failed"}
            crashing.kill()
            await bad_requests(client)
            late = await client.post()
            assert await client.follow(late) == "confirmed"
            for order_id in orders:
                await client.ask("GET", f"/api/orders/{order_id}")
                await client.ask("GET", f"/api/orders/{order_id}/explain")
            scraped = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{metrics}/metrics")
            planted.search("the metrics", scraped.body)
            for process in (api, text):
                for place, content in command_lines(process.pid):
                    planted.search(place, content)
            for process in [*starts, *commands]:
                await asyncio.to_thread(process.wait)
            assert [process.wait() for process in starts] != [0] * len(starts)
            for place, dumped in [*tables(database_address), *redis_content(servers.redis_url, redis_prefix)]:
                planted.search(place, dumped)
            for process in (api, text):
                assert await asyncio.to_thread(process.stop) == 0
            for process in launcher.processes:
                planted.search(f"the output of {process.arguments}", process.out)
                planted.search(f"the log of {process.arguments}", process.err)
                assert process.out + process.err, "nothing was searched"
    assert planted.found == []


def new_key(planted: Planted, settings: dict[str, str]) -> str:
    """An API key. Standard output is where it is shown, once."""
    with Launcher(**settings) as launcher:
        made = launcher.start("keys", "create", "canary", "--scope", "trade,read,admin", "--json")
        assert made.wait() == 0, made.err
        token = str(json.loads(made.out)["token"])
        planted.text("the API key", token[len("dx_0123456789ab_") :])
        planted.search("the log of keys", made.err)
    return token


def failing_starts(
    launcher: Launcher, planted: Planted, key: bytes, key_file: Path, chain: dict[str, str]
) -> list[Process]:
    """Starts that end with an error about a setting that holds a secret, or about a secret in the wrong setting."""
    lost = planted.text("a secret in the wrong place")
    cut = base58.encode(key)[:-1]
    wrong: list[dict[str, str]] = [
        {"SOLANA_WALLET_SECRET_KEY": cut, "DEXEXEC_ADAPTERS": "raydium", **chain},
        {"DEXEXEC_LOG_LEVEL": lost},
        {"PORT": lost},
        {"DEXEXEC_TRUSTED_PROXIES": lost},
        {"DEXEXEC_TLS_CERT": "/nowhere", "DEXEXEC_TLS_KEY": key_file.read_text()},
        {"REDIS_URL": f"redis://:{quote(lost, safe='')}@127.0.0.1:1/0"},
        {"REDIS_URL": f"redis:/:{lost}@127.0.0.1"},
        {"DATABASE_URL": f"postgresql://me:{quote(lost, safe='')}@127.0.0.1:1/db"},
        {"DATABASE_URL": f"postgresql://me:{lost}@127.0.0.1:1/db"},
        {"DATABASE_URL": f"host=127.0.0.1 port=1 password='{secrets.token_hex(4)}{cut}'"},
    ]
    return [launcher.start("worker" if "SOLANA_WALLET_SECRET_KEY" in one else "api", **one) for one in wrong]


async def bad_requests(client: Api) -> None:
    """Requests that are refused, with the client's own key in the wrong places."""
    token = client.token
    nowhere = f"/api/orders/{token}"
    statuses = [
        await client.ask("GET", f"/api/orders?token={token}"),
        await client.ask("GET", f"/api/orders?status={token}"),
        await client.ask("GET", f"/api/{token}"),
        await client.ask("GET", nowhere),
        await client.ask(token, "/api/orders"),
        await client.ask("GET", "/api/orders", Authorization=f"Basic {token}"),
        await client.ask("GET", "/api/orders", Authorization=f"Bearer {token[:-1]}"),
        await client.ask("GET", "/api/orders", Origin=f"https://{token}.example"),
        await client.ask("GET", "/api/orders", Host=f"{token}.example"),
        await client.ask("POST", PATH, json.dumps({"side": token}).encode()),
        await client.ask("POST", PATH, json.dumps({token: "buy"}).encode()),
        await client.ask("POST", PATH, token.encode()),
        await client.ask("POST", PATH, ORDER, Content_Type=token),
        await client.ask("POST", PATH, ORDER, Idempotency_Key=token * 10),
    ]
    assert all(status >= 400 for status, _ in statuses), statuses
