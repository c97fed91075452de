"""The client over TLS: HTTP and the socket trust the same authorities and no others."""

import asyncio
import ssl
from pathlib import Path

import pytest

from dexexec.client import AsyncClient, MarketOrder, NoAnswerError, ProblemError
from tests.support.certificates import trusting, write_certificate
from tests.support.running_api import running_service
from tests.support.waiting import until

NOBODY = "01234567-89ab-7def-8123-456789abcdef"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_certificate(tmp_path_factory.mktemp("tls") / "tls")


async def test_a_certificate_of_a_known_authority_is_trusted(files: tuple[Path, Path]) -> None:
    async with running_service(certificate=files) as service:
        url = f"https://127.0.0.1:{service.port}"
        async with AsyncClient(url, tls=trusting(files[0])) as client:
            assert (await client.place(MarketOrder("buy", "0.01"))).order_id
            # In the place of the stream this service has a socket that sends every message back.
            heard: list[str | bytes] = []
            async with client.events(NOBODY, tap=heard.append) as events:
                step = asyncio.ensure_future(anext(events, None))
                await until(lambda: heard)
                await events.aclose()
                assert await step is None
    assert heard == [f'{{"orderId": "{NOBODY}"}}']


@pytest.mark.parametrize("trusted", [None, ssl.create_default_context()])
async def test_any_other_certificate_is_refused_on_http_and_on_the_socket(
    files: tuple[Path, Path], trusted: ssl.SSLContext | None
) -> None:
    async with running_service(certificate=files) as service:
        url = f"https://127.0.0.1:{service.port}"
        async with AsyncClient(url, tls=trusted, timeout=2.0, outage_timeout=0.5) as client:
            with pytest.raises(NoAnswerError, match=r"(?i)certificate"):
                await client.place(MarketOrder("buy", "0.01"))
            with pytest.raises(NoAnswerError, match=r"(?i)certificate"):
                await client.wait(NOBODY)


async def test_plain_http_to_a_port_with_tls_is_an_error(files: tuple[Path, Path]) -> None:
    async with (
        running_service(certificate=files) as service,
        AsyncClient(f"http://127.0.0.1:{service.port}", timeout=0.5) as client,
    ):
        with pytest.raises((NoAnswerError, ProblemError)):
            await client.place(MarketOrder("buy", "0.01"))
