"""What every signer does: the local key, the library's services on local HTTP servers, and the scripted fake.

A signer is used only within the engine's limits, so the rules are about both together.
"""

import asyncio
import ssl
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageV0, to_bytes_versioned

from dexexec.settlement.signer_errors import SignerError, SignerTrouble
from dexexec.settlement.solana.keychain_signer import KeychainSigner
from dexexec.settlement.solana.limited_signer import PAUSE_SECONDS, LimitedSigner
from dexexec.settlement.solana.signer import LocalSigner, Signer
from dexexec.settlement.solana.transaction import is_signed
from dexexec.settlement.solana.wallet import Wallet
from dexexec.testing.clock import ManualClock
from tests.support.sealers import limited
from tests.support.signing.scripted_signer import ScriptedSigner
from tests.support.signing.services import TOKEN, Service, make_certificate, serving

KEY = Keypair.from_seed(bytes(range(32)))
ADDRESS = str(KEY.pubkey())
PATIENT = 60.0
"""How long a signer may take that answers: longer than the busiest machine needs."""
BRIEF = 0.2
"""How long one may take that does not answer: however long that is, nothing comes."""


def message(number: int = 0) -> bytes:
    """A message of the wallet; another one for each number."""
    blockhash = Hash.new_unique() if number else Hash.default()
    return to_bytes_versioned(MessageV0.try_compile(KEY.pubkey(), [], [], blockhash))


@dataclass
class Setup:
    """A signer within the engine's limits. `behave` makes its service hang, refuse, fail, lie or talk nonsense."""

    signer: Signer
    limits: LimitedSigner
    impatient: LimitedSigner
    clock: ManualClock
    behave: Callable[[str], None]
    names_refusals: bool = True
    """Whether a refusal can be distinguished from an outage of the service."""

    async def trouble(self) -> SignerError:
        """The error of a signature that does not come."""
        with pytest.raises(SignerError) as caught:
            await self.limits.sign(message())
        return caught.value


def setup_of(signer: Signer, behave: Callable[[str], None]) -> Setup:
    clock = ManualClock()
    limits, impatient = (limited(signer, clock, seconds=seconds) for seconds in (PATIENT, BRIEF))
    return Setup(signer, limits, impatient, clock, behave)


@asynccontextmanager
async def local(_: Path) -> AsyncIterator[Setup]:
    def behave(behaviour: str) -> None:
        pytest.skip(f"a key in this process does not {behaviour}")

    yield setup_of(LocalSigner(Wallet(KEY.secret())), behave)


@asynccontextmanager
async def scripted(_: Path) -> AsyncIterator[Setup]:
    signer = ScriptedSigner(KEY)

    def behave(behaviour: str) -> None:
        if behaviour == "nonsense":
            pytest.skip("it has no protocol")
        signer.behaviour = behaviour

    yield setup_of(signer, behave)


@asynccontextmanager
async def _keychain(
    backend: str, table: dict[str, object], service: Service, client: httpx.AsyncClient
) -> AsyncIterator[Setup]:
    signer = KeychainSigner(ADDRESS, backend, table, client)
    try:
        yield setup_of(signer, lambda behaviour: setattr(service, "behaviour", behaviour))
    finally:
        await signer.aclose()


@asynccontextmanager
async def vault(folder: Path) -> AsyncIterator[Setup]:
    token = folder / "token"
    token.write_text(f"{TOKEN}\n")
    async with serving(Service(KEY)) as service:
        table: dict[str, object] = {"api_base_url": service.url, "key_name": "desk", "token": f"file:{token}"}
        async with _keychain("vault", table, service, httpx.AsyncClient()) as setup:
            yield setup


@asynccontextmanager
async def privy(folder: Path) -> AsyncIterator[Setup]:
    secret = folder / "secret"
    secret.write_text(TOKEN)
    certificate = make_certificate(folder / "certificate.pem")
    trust = ssl.create_default_context(cafile=certificate)
    async with serving(Service(KEY), certificate) as service:
        table: dict[str, object] = {
            "api_base_url": f"{service.url}/v1",
            "app_id": "app",
            "app_secret": f"file:{secret}",
            "wallet_id": "wallet",
        }
        async with _keychain("privy", table, service, httpx.AsyncClient(verify=trust)) as setup:
            yield setup


@asynccontextmanager
async def aws_kms(_: Path) -> AsyncIterator[Setup]:
    async with serving(Service(KEY)) as service:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL_KMS", service.url)
            patch.setenv("AWS_ACCESS_KEY_ID", "id")
            patch.setenv("AWS_SECRET_ACCESS_KEY", TOKEN)
            patch.setenv("AWS_MAX_ATTEMPTS", "1")
            table: dict[str, object] = {"key_id": "key", "region": "eu-central-1"}
            async with _keychain("aws-kms", table, service, httpx.AsyncClient()) as setup:
                setup.names_refusals = False
                yield setup


Opened = AbstractAsyncContextManager[Setup]
Open = Callable[[Path], Opened]


@pytest.fixture(params=[local, scripted, vault, privy, aws_kms], ids=lambda opened: opened.__name__)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    found: Open = request.param
    return found(tmp_path)


async def test_it_signs_the_message_with_the_wallets_key(opened: Opened) -> None:
    async with opened as setup:
        assert setup.limits.address == ADDRESS
        for number in range(3):
            text = message(number)
            assert is_signed(text, ADDRESS, await setup.limits.sign(text))


async def test_promise_17_one_that_hangs_is_given_up_and_its_late_signature_has_no_reader(opened: Opened) -> None:
    async with opened as setup:
        setup.behave("hang")
        with pytest.raises(SignerError, match=r"wallet desk did not answer in 0\.2 s") as caught:
            await setup.impatient.sign(message())
        assert caught.value.trouble is SignerTrouble.SILENT


async def test_a_refusal_is_reported_as_one_and_the_next_message_is_signed(opened: Opened) -> None:
    async with opened as setup:
        if not setup.names_refusals:
            pytest.skip("the library has one error for refusals and outages of this service")
        setup.behave("refuse")
        assert (await setup.trouble()).trouble is SignerTrouble.REFUSED
        setup.behave("")
        assert is_signed(message(), ADDRESS, await setup.limits.sign(message()))


async def test_after_an_outage_it_is_left_alone_for_a_while_and_then_signs_again(opened: Opened) -> None:
    async with opened as setup:
        setup.behave("fail")
        assert (await setup.trouble()).trouble is SignerTrouble.UNREACHABLE
        setup.behave("")
        paused = await setup.trouble()
        assert (paused.trouble, paused.retry_in_ms) == (SignerTrouble.UNREACHABLE, PAUSE_SECONDS * 1000)
        assert setup.limits.trouble() is not None
        setup.clock.advance(PAUSE_SECONDS)
        assert setup.limits.trouble() is None
        assert is_signed(message(), ADDRESS, await setup.limits.sign(message()))


async def test_a_signature_of_another_key_is_refused(opened: Opened) -> None:
    async with opened as setup:
        setup.behave("lie")
        assert (await setup.trouble()).trouble in {SignerTrouble.WRONG_SIGNATURE, SignerTrouble.REFUSED}


async def test_nonsense_is_no_signature(opened: Opened) -> None:
    async with opened as setup:
        setup.behave("nonsense")
        assert (await setup.trouble()).trouble in {SignerTrouble.BAD_ANSWER, SignerTrouble.REFUSED}


@pytest.mark.parametrize("behaviour", ["refuse", "fail", "lie", "nonsense"])
async def test_promise_14_no_error_has_what_the_service_answered_or_a_secret(opened: Opened, behaviour: str) -> None:
    async with opened as setup:
        setup.behave(behaviour)
        error = await setup.trouble()
        assert TOKEN not in "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
        assert TOKEN not in repr(setup.signer)


async def test_a_cancelled_order_does_not_wait_for_its_signature(opened: Opened) -> None:
    async with opened as setup:
        setup.behave("hang")
        signing = asyncio.create_task(setup.limits.sign(message()))
        await asyncio.sleep(0)
        signing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await signing
        setup.behave("")
        assert is_signed(message(), ADDRESS, await setup.limits.sign(message())), "it counts for nothing"


async def test_a_service_that_names_another_address_is_not_used(tmp_path: Path) -> None:
    async with privy(tmp_path) as setup:
        setup.behave("another address")
        error = await setup.trouble()
    assert error.trouble is SignerTrouble.WRONG_SIGNATURE
    assert ADDRESS in str(error)


async def test_a_token_can_be_replaced_while_the_service_runs(tmp_path: Path) -> None:
    async with vault(tmp_path) as setup:
        await setup.limits.sign(message())
        assert isinstance(setup.signer, KeychainSigner)
        (tmp_path / "token").write_text("expired")
        setup.behave("refuse")
        await setup.trouble()
        setup.behave("")
        assert (await setup.trouble()).trouble is SignerTrouble.REFUSED, "with the token as it is now"
        (tmp_path / "token").write_text(TOKEN)
        assert is_signed(message(), ADDRESS, await setup.limits.sign(message()))
