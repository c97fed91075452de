"""The certificate of this service for TLS, read from its files and read again when they change."""

import asyncio
import ssl
import stat
from pathlib import Path
from typing import NoReturn

from dexexec.errors import StartupError
from dexexec.observe.observer import Observer

WATCH_SECONDS = 10.0
"""How often the files are looked at: a renewal needs neither a signal nor a restart."""

Stamp = tuple[tuple[int, int, int], ...]
"""What changes when files are written or replaced."""


class Certificate:
    """The TLS context of new connections. Raises `StartupError` if the files cannot be used."""

    def __init__(self, certificate: Path, key: Path, observer: Observer) -> None:
        self._files = (certificate, key)
        self._observer = observer
        self._stamp = self._read_stamp()
        self.context = load(certificate, key)

    async def watch(self) -> None:
        """Use renewed files, for as long as the process runs."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            self.renew()

    def renew(self) -> None:
        """Load the files if they have changed. What cannot be used is logged once per change, and the old certificate
        stays: it may be the middle of a renewal."""
        stamp = self._read_stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            # A new context, so that a half-written pair never replaces a working one.
            self.context = load(*self._files)
        except StartupError as error:
            self._observer.certificate_not_renewed(str(error))
        else:
            self._observer.certificate_renewed(str(self._files[0]))

    def _read_stamp(self) -> Stamp:
        return tuple(_stamp(file) for file in self._files)


def load(certificate: Path, key: Path) -> ssl.SSLContext:
    """A context for servers: TLS 1.2 or newer. Raises `StartupError`, which names a setting and never its content."""
    _check_key_file(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A client could make the server repeat the expensive part of a handshake on one connection.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    try:
        # Without `password`, an encrypted key would be a question on the terminal.
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            problem = "does not belong to the certificate of DEXEXEC_TLS_CERT"
        else:
            problem = "and DEXEXEC_TLS_CERT must be PEM files: a certificate with its chain, and its key"
        raise StartupError(f"DEXEXEC_TLS_KEY {problem}") from None
    except OSError as error:
        raise StartupError(f"DEXEXEC_TLS_CERT cannot be read ({error.strerror}): {certificate}") from None
    return context


def _no_password() -> NoReturn:
    raise StartupError("DEXEXEC_TLS_KEY is encrypted: write the key without a passphrase, readable by its owner only")


def _check_key_file(key: Path) -> None:
    """Only the owner may read it; of root's files also a group, as Debian's `ssl-cert`."""
    try:
        found = key.stat()
    except OSError as error:
        raise StartupError(f"DEXEXEC_TLS_KEY cannot be read ({error.strerror}): {key}") from None
    forbidden = stat.S_IRWXO | (stat.S_IWGRP if found.st_uid == 0 else stat.S_IRWXG)
    if not stat.S_ISREG(found.st_mode):
        raise StartupError(f"DEXEXEC_TLS_KEY is not a regular file: {key}")
    if found.st_mode & forbidden:
        raise StartupError(f"DEXEXEC_TLS_KEY is in a file that others can read or write (do `chmod 600 {key}`)")


def _stamp(file: Path) -> tuple[int, int, int]:
    try:
        found = file.stat()
    except OSError:  # the moment between two steps of a renewal
        return (0, 0, 0)
    return found.st_mtime_ns, found.st_ino, found.st_size
