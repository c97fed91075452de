"""Signs with a key that stays in a service: Vault, AWS KMS, Turnkey, Privy, Fireblocks and the others that the library
`solana-keychain` supports. It comes with the extra `keychain`.

Only signers that sign the transaction as it is, and send nothing, are used (docs/adr/0032).
"""

from collections.abc import Mapping
from typing import Any

import httpx
from solana_keychain import SignerError as LibraryError
from solana_keychain import SignerErrorCode, TransactionSigner, create_keychain_signer
from solders.message import from_bytes_versioned
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from dexexec.settlement.signer_errors import SignerError, SignerTrouble
from dexexec.settlement.solana.keychain_config import KeychainConfigError, read_config

TROUBLES: Mapping[SignerErrorCode, SignerTrouble] = {
    SignerErrorCode.HTTP_ERROR: SignerTrouble.UNREACHABLE,
    SignerErrorCode.IO_ERROR: SignerTrouble.UNREACHABLE,
    SignerErrorCode.NOT_AVAILABLE: SignerTrouble.UNREACHABLE,
    SignerErrorCode.NOT_INITIALIZED: SignerTrouble.UNREACHABLE,
    SignerErrorCode.REMOTE_API_ERROR: SignerTrouble.UNREACHABLE,
    SignerErrorCode.PARSING_ERROR: SignerTrouble.BAD_ANSWER,
    SignerErrorCode.SERIALIZATION_ERROR: SignerTrouble.BAD_ANSWER,
}
"""All other codes are refusals."""
BUSY = frozenset({408, 429})
"""Statuses of an answer that is no refusal, although they are below 500."""


class KeychainSigner:
    """Signs for `address` with a service. `backend` is its name in the library, `table` its settings (see
    `keychain_config`). `client` is for the requests of services that take one."""

    def __init__(
        self, address: str, backend: str, table: Mapping[str, object], client: httpx.AsyncClient | None = None
    ) -> None:
        """Raises `KeychainConfigError` if the settings are wrong or a secret is missing. Nothing is requested."""
        self._address = address
        self._backend = backend
        self._table = table
        # One client, so that connections are kept: the library would open one for each request.
        self._client = client or httpx.AsyncClient()
        self._signer: TransactionSigner | None = None
        self._config()

    @property
    def address(self) -> str:
        """The wallet's public key, base58."""
        return self._address

    async def sign(self, message: bytes) -> bytes:
        """Has the service sign. Raises `SignerError`."""
        signer, self._signer = self._signer, None
        try:
            signer = signer or await self._opened()
            signed = await signer.sign_transaction(_transaction(message))
        except LibraryError as error:
            raise SignerError(_trouble(error), f"{self._backend}: {_text(error)}") from error
        except KeychainConfigError as error:
            raise SignerError(SignerTrouble.UNREACHABLE, f"{self._backend}: {error}") from error
        # Kept only after a success: after a failure the next one is opened with the secrets as they are then, so that
        # an expired token can be replaced while the service runs.
        self._signer = signer
        return bytes(signed.signature)

    async def aclose(self) -> None:
        """Closes its connections."""
        await self._client.aclose()

    async def _opened(self) -> TransactionSigner:
        """A signer of the library, with the secrets as they are now, once it is known to have the wallet's key."""
        signer = await create_keychain_signer(self._backend, self._config())
        # The services are known to sign only; a later version of the library may have another kind for one of them.
        # Those that send were refused at the start; a later version of the library may have made another one so.
        if not isinstance(signer, TransactionSigner):
            raise SignerError(
                SignerTrouble.REFUSED, f"{self._backend} sends or rewrites what it signs: it cannot be used"
            )
        # Some services name the address themselves. Which wallet pays is decided by the settings.
        # Some services name the address themselves. Which wallet pays is decided by the settings alone.
        if str(signer.pubkey) != self._address:
            raise SignerError(
                SignerTrouble.WRONG_SIGNATURE, f"{self._backend} has the key of {signer.pubkey}, not of {self._address}"
            )
        return signer

    def _config(self) -> Any:
        return read_config(self._backend, self._address, self._table, http_client=self._client, client=None)


def _transaction(message: bytes) -> VersionedTransaction:
    """The transaction without signatures, in the form that a service's own policy can read."""
    # Signatures of the venue are left out: the service signs the message, which they do not change.
    parsed = from_bytes_versioned(message)
    return VersionedTransaction.populate(parsed, [Signature.default()] * parsed.header.num_required_signatures)


def _trouble(error: LibraryError) -> SignerTrouble:
    status = error.status_code
    if status is not None and 400 <= status < 500 and status not in BUSY:
        return SignerTrouble.REFUSED
    return TROUBLES.get(error.code, SignerTrouble.REFUSED)


def _text(error: LibraryError) -> str:
    # The library keeps the service's own text from its errors, as that may hold anything.
    return f"{error}, status {error.status_code}" if error.status_code is not None else str(error)
