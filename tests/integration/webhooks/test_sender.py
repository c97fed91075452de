"""One try against real servers: what a target that is wrong, slow or hostile can and cannot do."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

import dexexec.webhooks.sender
from dexexec.clock import SystemClock
from dexexec.domain.webhook import ClaimedDelivery
from dexexec.webhooks.addresses import Address
from dexexec.webhooks.answers import Answer, Verdict
from dexexec.webhooks.resolver import SystemResolver
from dexexec.webhooks.sender import NOT_PUBLIC, Sender
from dexexec.webhooks.signing import new_secret
from tests.support.certificates import trusting, write_certificate
from tests.support.webhook_receiver import OK, SECRET, Received, answering, claimed, never, receiver, status

LOOPBACK = ip_address("127.0.0.1")


class Names:
    """A resolver with one answer after the other; the last one again and again."""

    def __init__(self, *answers: list[Address]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def addresses(self, host: str) -> list[Address]:
        self.asked.append(host)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def sender(
    *, seconds: float = 10.0, private: bool = True, names: Names | None = None, tls: Path | None = None
) -> Sender:
    context = trusting(tls) if tls else None
    return Sender(names or SystemResolver(), SystemClock(), seconds=seconds, private=private, tls=context)


def serving_tls(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for hooks.example, and what a server needs."""
    certificate, key = write_certificate(folder, "hooks.example")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    return certificate, server


async def test_a_message_arrives_signed_as_the_library_verifies_it() -> None:
    async with receiver() as target:
        sent = claimed(target.url("/hook?a=1"))
        assert await sender().send(sent) == Answer(verdict=Verdict.DELIVERED, text="HTTP 204")
        [request] = target.received
    assert request.target == "/hook?a=1"
    assert request.headers["host"] == f"127.0.0.1:{target.port}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == sent.message_id
    assert Webhook(SECRET).verify(request.body, request.headers)["type"] == "webhook.test"
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.body.replace(b"hook", b"hack"), request.headers)


async def test_with_a_rotated_secret_each_of_the_two_verifies_it() -> None:
    former = new_secret(b"f" * 32)
    async with receiver() as target:
        await sender().send(claimed(target.url(), secrets=(SECRET, former)))
        [request] = target.received
    for secret in SECRET, former:
        Webhook(secret).verify(request.body, request.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret(b"x" * 32)).verify(request.body, request.headers)


async def test_tls_is_checked_against_the_name_and_connects_to_the_checked_address(tmp_path: Path) -> None:
    certificate, server = serving_tls(tmp_path)
    shown: list[str | None] = []
    server.sni_callback = lambda _, name, __: shown.append(name)
    async with receiver(tls=server) as target:
        names = Names([LOOPBACK])
        trusted = sender(names=names, tls=certificate)
        answer = await trusted.send(claimed(target.url(host="hooks.example")))
        assert answer.verdict is Verdict.DELIVERED
        assert (shown, names.asked) == (["hooks.example"], ["hooks.example"])
        assert target.received[0].headers["host"] == f"hooks.example:{target.port}"
        other = await trusted.send(claimed(target.url(host="other.example")))
        assert other.verdict is Verdict.FAILED
        assert "certificate" in other.text.lower()
        stranger = await sender(names=names).send(claimed(target.url(host="hooks.example")))
        assert stranger.verdict is Verdict.FAILED
        assert len(target.received) == 1


async def test_a_name_that_changes_after_the_check_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Here 127.0.0.2 is public. Another lookup after the check would get the address of the private server.
    checked = ip_address("127.0.0.2")
    monkeypatch.setattr(dexexec.webhooks.sender, "is_public", lambda address: address == checked)
    certificate, server = serving_tls(tmp_path)
    async with receiver(host="127.0.0.2", tls=server) as public:
        names = Names([checked], [LOOPBACK])
        careful = sender(private=False, names=names, tls=certificate)
        sent = claimed(public.url(host="hooks.example"))
        assert (await careful.send(sent)).verdict is Verdict.DELIVERED
        assert names.asked == ["hooks.example"]
        assert (await careful.send(sent)).text == NOT_PUBLIC
        assert public.connections == 1


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["93.184.216.34", "10.0.0.1"],
        ["2606:2800:220:1::1", "fe80::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["2002:7f00:1::"],
        ["169.254.169.254"],
    ],
)
async def test_a_name_with_any_private_address_is_refused(addresses: list[str]) -> None:
    names = Names([ip_address(text) for text in addresses])
    answer = await sender(private=False, names=names).send(claimed("https://hooks.example/"))
    assert answer == Answer(verdict=Verdict.FAILED, text=NOT_PUBLIC)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9/", "https://127.0.0.1:9/", "https://[::1]:9/", "https://2130706433/", "https://localhost./"],
)
async def test_the_url_is_checked_again_at_each_try(url: str) -> None:
    answer = await sender(private=False).send(claimed(url))
    assert answer.text.startswith("its URL must ")


async def test_a_name_that_is_not_found_is_a_failed_try() -> None:
    def not_found(_: str) -> list[Address]:
        raise OSError("not known")

    resolver = SystemResolver(not_found)
    answer = await Sender(resolver, SystemClock(), seconds=5, private=False).send(claimed("https://hooks.example/"))
    assert answer.text == "its name cannot be resolved: not known"


@pytest.mark.parametrize(
    ("sent", "verdict", "text", "pause"),
    [
        (status(200), Verdict.DELIVERED, "HTTP 200", 0),
        (status(500), Verdict.FAILED, "HTTP 500", 0),
        (status(302, location="http://127.0.0.1:1/"), Verdict.FAILED, "HTTP 302: redirects are not followed", 0),
        (status(410), Verdict.GONE, "HTTP 410", 0),
        (status(429, retry_after="7"), Verdict.FAILED, "HTTP 429", 7),
        (status(503, retry_after="99999999999"), Verdict.FAILED, "HTTP 503", 3_600),
        (status(503, retry_after="-5"), Verdict.FAILED, "HTTP 503", 0),
        (status(503, retry_after="Fri, 31 Dec 9999 23:59:59 GMT"), Verdict.FAILED, "HTTP 503", 3_600),
        (status(503, retry_after="Thu, 01 Jan 1970 00:00:00 GMT"), Verdict.FAILED, "HTTP 503", 0),
    ],
)
async def test_answers(sent: bytes, verdict: Verdict, text: str, pause: float) -> None:
    async with receiver(answering(sent)) as target:
        assert await sender().send(claimed(target.url())) == Answer(verdict=verdict, text=text, target_pause=pause)
        assert target.connections == 1


async def test_of_a_private_target_s_answer_nothing_is_kept() -> None:
    async with receiver(answering(status(500, b"internal details"))) as target:
        assert (await sender().send(claimed(target.url()))).text == "HTTP 500"


Wrong = Callable[[Received, asyncio.StreamWriter], Awaitable[None]]


async def drips(_: Received, writer: asyncio.StreamWriter) -> None:
    """A header that never ends, a byte at a time."""
    writer.write(b"HTTP/1.1 200 OK\r\nx: ")
    while not writer.is_closing():
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.001)


async def floods(_: Received, writer: asyncio.StreamWriter) -> None:
    """Headers without end."""
    writer.write(b"HTTP/1.1 500 No\r\n")
    while not writer.is_closing():
        writer.write(b"x: " + b"y" * 10_000 + b"\r\n")
        await writer.drain()


async def hesitates(_: Received, writer: asyncio.StreamWriter) -> None:
    """Interim answers without end."""
    while not writer.is_closing():
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)
        await writer.drain()


async def resets(_: Received, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


@pytest.mark.parametrize("wrong", [never, drips, floods, hesitates, resets, answering(b"SSH-2.0-OpenSSH_9.2\r\n")])
async def test_a_target_that_never_answers_properly_is_a_failed_try(wrong: Wrong) -> None:
    async with receiver(wrong) as target:
        answer = await sender(seconds=0.3).send(claimed(target.url()))
        assert answer.verdict is Verdict.FAILED
        assert answer.text.startswith("no answer")


async def test_of_an_endless_body_nothing_is_read_beyond_a_limit() -> None:
    sent = 0

    async def endless(_: Received, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 500 No\r\ncontent-length: 1000000000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x" * 65_536)
            await writer.drain()
            sent += 65_536

    async with receiver(endless) as target:
        assert (await sender().send(claimed(target.url()))).text == "HTTP 500"
    assert sent < 50_000_000, "what the kernel takes, and not the gigabyte"


async def test_a_closed_port_is_a_failed_try() -> None:
    async with receiver() as target:
        url = target.url()
    answer = await sender().send(claimed(url))
    assert answer.verdict is Verdict.FAILED
    assert answer.text.startswith("no answer")


async def test_the_next_address_is_tried_where_the_first_refuses() -> None:
    async with receiver() as target:
        names = Names([ip_address("127.0.0.2"), LOOPBACK])
        assert (await sender(names=names).send(claimed(target.url(host="hooks.example")))).verdict is Verdict.DELIVERED


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiver(answering(status(500))) as proxy, receiver(answering(OK)) as target:
        for name in "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY":
            monkeypatch.setenv(name, proxy.url(""))
        assert (await sender().send(claimed(target.url()))).verdict is Verdict.DELIVERED
        assert proxy.connections == 0


def test_nothing_secret_is_in_a_repr() -> None:
    shown: ClaimedDelivery = claimed("https://hooks.example/secret-path")
    assert not any(text in repr(shown) for text in ("secret-path", "whsec", 'webhook.test", '))
