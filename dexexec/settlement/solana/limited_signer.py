"""Puts the engine's limits on a signer: a time limit, a check of each signature, and a pause after an outage.

It is the only way from the sealer to a signer, so no transaction has a signature that was not verified here.
"""

import asyncio

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import ignore_exception, raise_if_cancelled
from dexexec.concurrency.circuit_breaker import Breaker, State
from dexexec.observe.observer import Observer
from dexexec.settlement.signer_errors import SignerError, SignerTrouble
from dexexec.settlement.solana.signer import Signer
from dexexec.settlement.solana.transaction import is_signed

PAUSE_SECONDS = 5.0
"""How long a signer is left alone after an outage. Orders of the wallet wait meanwhile without a place in a worker."""


class LimitedSigner:
    """`signer` with limits. `name` is the wallet's name for people, `seconds` how long a signature may take."""

    def __init__(self, signer: Signer, name: str, *, seconds: float, clock: Clock, observer: Observer) -> None:
        self._signer = signer
        self._name = name
        self._seconds = seconds
        self._observer = observer
        self._breaker = Breaker(1, PAUSE_SECONDS, clock.monotonic, self._report)

    @property
    def address(self) -> str:
        """The wallet's public key, base58."""
        return self._signer.address

    def trouble(self) -> SignerError | None:
        """The outage because of which the signer is not tried now, or None."""
        return self._paused() if self._breaker.remaining_seconds() else None

    async def sign(self, message: bytes) -> bytes:
        """Returns a signature that was verified over `message`. Raises `SignerError`."""
        if not self._breaker.enter():
            raise self._paused()
        try:
            signature = await self._within_limit(message)
        except SignerError as error:
            # A refusal is about one message: the wallet's other orders go on.
            if error.trouble is SignerTrouble.REFUSED:
                self._breaker.succeeded()
            else:
                self._breaker.failed(error.trouble, str(error))
            self._observer.signer_failed(self._name, self.address, error.trouble, str(error))
            raise
        # Cancelled: the order was taken away, which proves nothing about the signer.
        except BaseException:
            self._breaker.abandoned()
            raise
        self._breaker.succeeded()
        return signature

    async def aclose(self) -> None:
        """Closes the signer."""
        await self._signer.aclose()

    async def _within_limit(self, message: bytes) -> bytes:
        signing = asyncio.create_task(self._signer.sign(message))
        # A signature that comes later has no reader: its bytes are dropped here, and nothing was recorded.
        signing.add_done_callback(ignore_exception)
        try:
            # Not `asyncio.timeout`: a library that is slow to give up would make the limit longer.
            await asyncio.wait([signing], timeout=self._seconds)
            if not signing.done():
                raise SignerError(
                    SignerTrouble.SILENT, f"the signer of wallet {self._name} did not answer in {self._seconds:g} s"
                )
            signature = await self._result(signing)
        finally:
            signing.cancel()
        # Over the very bytes that the guard checked, whatever the signer was shown or returned.
        if not isinstance(signature, bytes) or not is_signed(message, self.address, signature):
            raise SignerError(
                SignerTrouble.WRONG_SIGNATURE,
                f"the signer of wallet {self._name} returned no signature of {self.address} over the transaction",
            )
        return signature

    async def _result(self, signing: "asyncio.Task[bytes]") -> object:
        try:
            return await signing
        except SignerError as error:
            raise SignerError(error.trouble, f"the signer of wallet {self._name}: {error}") from error
        except asyncio.CancelledError as error:
            raise_if_cancelled()  # if this task was not cancelled, the signer gave up by itself
            raise SignerError(SignerTrouble.UNREACHABLE, f"the signer of wallet {self._name} gave up") from error
        # Libraries in Rust panic with a `BaseException`. Its text is not repeated: it may hold what the service sent.
        except BaseException as error:
            raise SignerError(
                SignerTrouble.UNREACHABLE, f"the signer of wallet {self._name} failed with {type(error).__name__}"
            ) from error

    def _paused(self) -> SignerError:
        trouble, detail = self._breaker.cause
        left = self._breaker.remaining_seconds()
        return SignerError(SignerTrouble(trouble), detail, retry_in_ms=left * 1000)

    def _report(self, state: State) -> None:
        if state is State.CLOSED:
            self._observer.signer_recovered(self._name, self.address)
