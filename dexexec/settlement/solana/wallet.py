"""The wallet: the only place that holds a Solana key. It signs what the guard has checked.

An error about a key names the setting and describes a valid value. It never contains a part of the key: neither in its
text nor in its cause, its context or the frames of its traceback.
"""

import json
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from solders.keypair import Keypair

from dexexec.domain import base58
from dexexec.errors import SettingsError, StartupError

SETTING = "SOLANA_WALLET_SECRET_KEY"
VALID = "base58 of 64 bytes, a JSON array of 64 numbers as solana-keygen writes it, or file:PATH to a file with either"
FILE_PREFIX = "file:"
KEY_BYTES = 64
LONGEST_TEXT = 4_096
LONGEST_BASE58 = 88


class _BadKey(Exception):  # noqa: N818 - caught where it is raised; its text holds nothing of the key
    """The reason why a key is invalid."""


class Wallet:
    """Signs with one key. It can be neither copied nor pickled."""

    __slots__ = ("_address", "_sign")
    _address: str
    _sign: Callable[[bytes], bytes]

    def __init__(self, seed: bytes) -> None:
        """`seed` is the secret half, 32 bytes; raises `ValueError` for any other length."""
        keypair = Keypair.from_seed(seed)
        self._address = str(keypair.pubkey())
        # In a closure, so that no attribute holds the key.
        self._sign = lambda message: bytes(keypair.sign_message(message))

    @classmethod
    def read(cls, secret: str, setting: str = SETTING) -> "Wallet":
        """Reads the value of `setting`. Raises `SettingsError`."""
        found = _of_setting(secret)
        del secret  # so that no frame of the traceback holds it
        if isinstance(found, str):
            raise SettingsError(f"{setting} {found}: it must be {VALID}")
        return found

    @classmethod
    def kept_in(cls, path: Path) -> "Wallet":
        """Returns the development wallet in a file that only its owner can read, and creates it at the first call.
        Concurrent processes get the same one. Raises `StartupError`."""
        try:
            if not path.exists():
                _make(path)
            found = _attempt(lambda: _read_file(path))
        except OSError as error:
            raise StartupError(f"the wallet's file {path} cannot be created: {error.strerror}") from error
        if isinstance(found, str):
            raise StartupError(f"the wallet's file {path} cannot be used: it {found}")
        return found

    @classmethod
    def new(cls, path: Path) -> "Wallet":
        """Creates a wallet in a file that only its owner can read. Raises `StartupError`, also if the file exists: it
        is never overwritten."""
        try:
            made = _make(path)
        except OSError as error:
            raise StartupError(f"the wallet's file {path} cannot be created: {error.strerror}") from error
        if not made:
            raise StartupError(f"there is a wallet in {path} already: move that file away first, and keep it")
        return cls.kept_in(path)

    @property
    def address(self) -> str:
        """The public key, base58."""
        return self._address

    def sign(self, message: bytes) -> bytes:
        """The Ed25519 signature, 64 bytes: always the same for the same message."""
        return self._sign(message)

    def __repr__(self) -> str:
        return f"Wallet({self._address})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a wallet does not leave its process")


def _of_setting(secret: str) -> "Wallet | str":
    """Returns the wallet, or the reason why there is none."""
    text = secret.strip()
    if not text.startswith(FILE_PREFIX):
        return _attempt(lambda: _read_text(text))
    return _attempt(lambda: _read_file(Path(text.removeprefix(FILE_PREFIX)).expanduser()))


def _attempt(read: Callable[[], Wallet]) -> "Wallet | str":
    # Returned, not raised: a caught exception must not become the context of another one. A JSON error holds its text.
    try:
        return read()
    except _BadKey as problem:
        return str(problem)
    except (OSError, RuntimeError):  # RuntimeError: there is no home for `~`
        return "names a file that cannot be read"


def _read_file(path: Path) -> Wallet:
    """Reads a key file. An error names the path only once the file exists: before, the text may be a misplaced key."""
    if "\0" in str(path) or not path.exists():
        raise _BadKey("names a file that does not exist")
    # Without blocking, because the path may be a named pipe; `fstat` then checks the very file that was opened.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _BadKey("names something that is not a regular file")
        # Kubernetes and systemd hand a secret over in a file of root's, which the group of the process may read.
        forbidden = stat.S_IRWXO | (stat.S_IWGRP | stat.S_IXGRP if found.st_uid == 0 else stat.S_IRWXG)
        if found.st_mode & forbidden:
            raise _BadKey(f"is in a file that others can read or write (do `chmod 600 {path}`)")
        content = os.read(descriptor, LONGEST_TEXT + 1)
    finally:
        os.close(descriptor)
    try:
        text = content.decode("ascii").strip()
    except UnicodeDecodeError:
        raise _BadKey("is in a file with other content") from None
    return _read_text(text)


def _read_text(text: str) -> Wallet:
    key = _numbers(text) if text.startswith("[") else _letters(text)
    if len(key) != KEY_BYTES:
        raise _BadKey("does not have 64 bytes")
    # A key file holds the public half too. A mismatch means a damaged or mixed-up file.
    wallet = Wallet(key[:32])
    if base58.decode(wallet.address) != key[32:]:
        raise _BadKey("is not a key pair: its public half does not belong to its secret half")
    return wallet


def _numbers(text: str) -> bytes:
    try:
        numbers = json.loads(text) if len(text) <= LONGEST_TEXT else None
    except (ValueError, RecursionError):
        numbers = None
    # `type`, not `isinstance`: JSON's `true` would otherwise count as 1.
    if not isinstance(numbers, list) or not all(type(number) is int and 0 <= number <= 255 for number in numbers):
        raise _BadKey("is not a JSON array of numbers from 0 to 255")
    return bytes(numbers)


def _letters(text: str) -> bytes:
    if len(text) > LONGEST_BASE58:
        raise _BadKey("is too long")
    try:
        return base58.decode(text)
    except ValueError:
        raise _BadKey("is neither base58 nor a JSON array") from None


def _make(path: Path) -> bool:
    """Creates a key file at `path`; returns False if one exists."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    seed = secrets.token_bytes(32)
    key = seed + base58.decode(Wallet(seed).address)
    # Written to a draft and then linked, so that no process ever reads half a key. A link does not replace a file,
    # unlike a rename: of several processes that start together exactly one creates the wallet.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(list(key), file)
            file.flush()
            os.fsync(descriptor)
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            return False
    finally:
        draft.unlink()
    return True
