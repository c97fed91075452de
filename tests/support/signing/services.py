"""Local HTTP servers in the place of signing services: they speak the services' own protocols, and sign with Ed25519.

`behaviour` makes a service hang, refuse, fail, talk nonsense, sign with another key, or name another address.
"""

import asyncio
import base64
import datetime
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from solders.keypair import Keypair
from solders.message import to_bytes_versioned
from solders.transaction import VersionedTransaction
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

TOKEN = "a-token-that-no-log-may-show"  # noqa: S105 - of a fake
STRANGER = Keypair.from_seed(bytes(32))


@dataclass
class Service:
    """What the servers of one key share. `messages` are those that it was asked to sign."""

    keypair: Keypair
    behaviour: str = ""
    token: str = TOKEN
    url: str = ""
    messages: list[bytes] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def signing_key(self) -> Keypair:
        return STRANGER if self.behaviour == "lie" else self.keypair


class Handler(RequestHandler):
    """The behaviours that all services have in common."""

    def initialize(self, service: Service) -> None:
        self.service = service

    async def prepare(self) -> None:
        service = self.service
        if service.behaviour == "hang":
            await service.released.wait()
        if service.behaviour == "refuse":
            self.set_status(403)
            self.finish({"errors": ["denied", service.token]})
        elif service.behaviour == "fail":
            self.set_status(503)
            self.finish({"errors": [service.token]})
        elif service.behaviour == "nonsense":
            self.finish("<html>")

    def signature(self, message: bytes) -> bytes:
        self.service.messages.append(message)
        return bytes(self.service.signing_key.sign_message(message))


class VaultSign(Handler):
    """`POST /v1/transit/sign/KEY` of Vault's transit engine."""

    def post(self, key: str) -> None:
        if self.request.headers["X-Vault-Token"] != self.service.token:
            self.set_status(403)
            self.finish({"errors": ["permission denied"]})
            return
        message = base64.b64decode(json.loads(self.request.body)["input"])
        self.finish({"data": {"signature": f"vault:v1:{base64.b64encode(self.signature(message)).decode()}"}})


class PrivyWallet(Handler):
    """`GET /v1/wallets/ID`."""

    def get(self, wallet: str) -> None:
        key = STRANGER if self.service.behaviour == "another address" else self.service.keypair
        self.finish({"id": wallet, "chain_type": "solana", "address": str(key.pubkey())})


class PrivyRpc(Handler):
    """`POST /v1/wallets/ID/rpc` with `signTransaction`."""

    def post(self, _: str) -> None:
        given = json.loads(self.request.body)["params"]["transaction"]
        transaction = VersionedTransaction.from_bytes(base64.b64decode(given))
        signature = self.signature(to_bytes_versioned(transaction.message))
        placed = bytes(transaction)
        signed = placed[:1] + signature + placed[65:]
        self.finish({"data": {"signed_transaction": base64.b64encode(signed).decode(), "encoding": "base64"}})


class AwsKms(Handler):
    """AWS KMS' operation `Sign`."""

    def post(self) -> None:
        assert self.request.headers["X-Amz-Target"] == "TrentService.Sign"
        message = base64.b64decode(json.loads(self.request.body)["Message"])
        self.set_header("Content-Type", "application/x-amz-json-1.1")
        answer: dict[str, Any] = {"Signature": base64.b64encode(self.signature(message)).decode()}
        self.finish(answer | {"KeyId": "key", "SigningAlgorithm": "ED25519_SHA_512"})


@asynccontextmanager
async def serving(service: Service, certificate: Path | None = None) -> AsyncIterator[Service]:
    """The servers of `service` inside the block: over TLS with a certificate, if one is given."""
    app = Application(
        [
            (r"/v1/transit/sign/([^/]+)", VaultSign, {"service": service}),
            (r"/v1/wallets/([^/]+)", PrivyWallet, {"service": service}),
            (r"/v1/wallets/([^/]+)/rpc", PrivyRpc, {"service": service}),
            (r"/", AwsKms, {"service": service}),
        ],
        log_function=lambda _: None,
    )
    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    server = HTTPServer(app, ssl_options=context)
    [socket] = bind_sockets(0, "127.0.0.1")
    server.add_socket(socket)
    scheme = "http" if context is None else "https"
    service.url = f"{scheme}://127.0.0.1:{socket.getsockname()[1]}"
    try:
        yield service
    finally:
        service.released.set()
        server.stop()
        await server.close_all_connections()


def make_certificate(path: Path) -> Path:
    """A key and a certificate for 127.0.0.1 in one file, which signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path
