"""A signer that answers as scripted: the fake of the port `dexexec.settlement.solana.signer.Signer`."""

import asyncio
from collections.abc import Callable

from solders.keypair import Keypair

from dexexec.settlement.signer_errors import SignerError, SignerTrouble


class ScriptedSigner:
    """Signs with `keypair`, unless `behaviour` is set: `hang`, `refuse`, `fail`, or `lie`. `requests` are the messages
    that it was given."""

    def __init__(self, keypair: Keypair) -> None:
        self._keypair = keypair
        self._behaviours: dict[str, Callable[[], None]] = {"refuse": self._refuse, "fail": self._fail}
        self.behaviour = ""
        self.requests: list[bytes] = []
        self.released = asyncio.Event()
        self.late: list[bytes] = []
        """Signatures that were made after the wait for them had ended."""

    @property
    def address(self) -> str:
        return str(self._keypair.pubkey())

    async def sign(self, message: bytes) -> bytes:
        self.requests.append(message)
        if self.behaviour == "hang":
            await self._hang(message)
        if behaviour := self._behaviours.get(self.behaviour):
            behaviour()
        key = Keypair.from_seed(bytes(32)) if self.behaviour == "lie" else self._keypair
        return bytes(key.sign_message(message))

    async def aclose(self) -> None:
        """Nothing is open."""

    async def _hang(self, message: bytes) -> None:
        """As a service that goes on with a request whose client has gone: it signs once it is released."""
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            self.late.append(bytes(self._keypair.sign_message(message)))
            raise

    def _refuse(self) -> None:
        raise SignerError(SignerTrouble.REFUSED, "its policy does not allow it")

    def _fail(self) -> None:
        raise SignerError(SignerTrouble.UNREACHABLE, "no connection")
