"""Opens the wallets that pay for swaps: the address of each, and its signer where something may be signed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dexexec.clock import Clock
from dexexec.config.secret_reference import VARIABLE_PREFIX, read_secret
from dexexec.config.wallets import DEFAULT, SIGN_SECONDS, NamedWallet
from dexexec.errors import SettingsError, StartupError, install_hint
from dexexec.observe.observer import Observer

if TYPE_CHECKING:
    from dexexec.settlement.solana.limited_signer import LimitedSigner
    from dexexec.settlement.solana.signer import Signer
    from dexexec.settlement.solana.wallet import Wallet

EXTRA = {"solana_keychain", "httpx"}
"""Modules that come with the extra `keychain`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """A wallet that pays for swaps; `name` is None for the default one. Without a `signer` nothing is signed."""

    name: str | None
    address: str
    signer: "LimitedSigner | None" = None

    @property
    def label(self) -> str:
        """The name for people."""
        return self.name or DEFAULT


@dataclass(slots=True, kw_only=True)
class WalletOpener:
    """Opens wallets. With `signs` they get a signer; otherwise no part of the process holds a key."""

    signs: bool
    clock: Clock
    observer: Observer

    def default(self, read: "Callable[[], Wallet]") -> Payer:
        """The default wallet with the key that `read` returns."""
        from dexexec.settlement.solana.signer import LocalSigner  # noqa: PLC0415

        return self._payer(None, LocalSigner(read()), SIGN_SECONDS)

    def named(self, wallets: Mapping[str, NamedWallet]) -> list[Payer]:
        """The wallets of DEXEXEC_WALLETS; that of the table `default` has no name. Raises `StartupError`."""
        return [self._open(wallet) for wallet in wallets.values()]

    def _open(self, wallet: NamedWallet) -> Payer:
        name = None if wallet.name == DEFAULT else wallet.name
        # Nothing is requested from a service where nothing is signed: its address is known.
        # Nothing is read or requested for a service where nothing is signed: its address is in the settings.
        if wallet.keychain and not self.signs:
            return Payer(name=name, address=wallet.address)
        signer = self._keychain(wallet) if wallet.keychain else self._local(wallet)
        if wallet.address and signer.address != wallet.address:
            raise StartupError(f"DEXEXEC_WALLETS: the key of [{wallet.name}] is not that of its address")
        return self._payer(name, signer, wallet.sign_seconds)

    def _local(self, wallet: NamedWallet) -> "Signer":
        from dexexec.settlement.solana.signer import LocalSigner  # noqa: PLC0415
        from dexexec.settlement.solana.wallet import Wallet  # noqa: PLC0415

        setting = f"key of [{wallet.name}] in DEXEXEC_WALLETS"
        try:
            # The wallet reads a file by itself, since a file with a key must be its owner's alone.
            secret = read_secret(wallet.key) if wallet.key.startswith(VARIABLE_PREFIX) else wallet.key
        except ValueError as error:
            raise SettingsError(f"{setting}: {error}") from None
        return LocalSigner(Wallet.read(secret, setting))

    def _keychain(self, wallet: NamedWallet) -> "Signer":
        try:
            from dexexec.settlement.solana.keychain_config import KeychainConfigError  # noqa: PLC0415
            from dexexec.settlement.solana.keychain_signer import KeychainSigner  # noqa: PLC0415
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] not in EXTRA:
                raise
            raise StartupError(f"[{wallet.name}] needs the keychain extra: {install_hint('keychain')}") from error
        try:
            return KeychainSigner(wallet.address, wallet.keychain, wallet.service)
        except KeychainConfigError as error:
            raise StartupError(f"DEXEXEC_WALLETS: [{wallet.name}]: {error}") from error

    def _payer(self, name: str | None, signer: "Signer", seconds: float) -> Payer:
        from dexexec.settlement.solana.limited_signer import LimitedSigner  # noqa: PLC0415

        if not self.signs:
            return Payer(name=name, address=signer.address)
        limited = LimitedSigner(signer, name or DEFAULT, seconds=seconds, clock=self.clock, observer=self.observer)
        return Payer(name=name, address=signer.address, signer=limited)
