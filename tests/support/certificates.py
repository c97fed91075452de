"""Certificates for tests, signed by themselves and valid for localhost: made here, so that no key is in the project.

The bytes are ASN.1 in DER (RFC 5280), with an Ed25519 key (RFC 8410), which the Solana library can make and sign with.
"""

import base64
import ssl
from pathlib import Path

from solders.keypair import Keypair

_ED25519 = bytes.fromhex("06032b6570")
_COMMON_NAME = bytes.fromhex("0603550403")
_ALTERNATIVE_NAMES = bytes.fromhex("0603551d11")
_SEQUENCE, _SET, _INTEGER, _BITS, _OCTETS, _TEXT, _TIME = 0x30, 0x31, 0x02, 0x03, 0x04, 0x0C, 0x18


def write_certificate(folder: Path, name: str = "localhost") -> tuple[Path, Path]:
    """New files with a certificate and its key, for `localhost`, 127.0.0.1 and `name`. The key is its owner's only."""
    folder.mkdir(parents=True, exist_ok=True)
    pair = Keypair()
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    certificate.write_text(_pem("CERTIFICATE", _certificate(pair, name)))
    key.touch(0o600)
    seed = _der(_OCTETS, _der(_OCTETS, bytes(pair)[:32]))
    key.write_text(_pem("PRIVATE KEY", _der(_SEQUENCE, _der(_INTEGER, b"\0"), _der(_SEQUENCE, _ED25519), seed)))
    return certificate, key


def trusting(certificate: Path) -> ssl.SSLContext:
    """A client's context that trusts this certificate, and checks the name."""
    return ssl.create_default_context(cafile=certificate)


def _certificate(pair: Keypair, name: str) -> bytes:
    algorithm = _der(_SEQUENCE, _ED25519)
    subject = _der(_SEQUENCE, _der(_SET, _der(_SEQUENCE, _COMMON_NAME, _der(_TEXT, name.encode()))))
    times = _der(_SEQUENCE, _der(_TIME, b"20200101000000Z"), _der(_TIME, b"21200101000000Z"))
    names = _der(_SEQUENCE, _der(0x82, b"localhost"), _der(0x82, name.encode()), _der(0x87, bytes([127, 0, 0, 1])))
    extension = _der(_SEQUENCE, _ALTERNATIVE_NAMES, _der(_OCTETS, names))
    content = _der(
        _SEQUENCE,
        _der(0xA0, _der(_INTEGER, b"\2")),  # version 3
        _der(_INTEGER, b"\1" + bytes(pair.pubkey())[:8]),  # a serial number
        algorithm,
        subject,
        times,
        subject,
        _der(_SEQUENCE, algorithm, _der(_BITS, b"\0" + bytes(pair.pubkey()))),
        _der(0xA3, _der(_SEQUENCE, extension)),
    )
    return _der(_SEQUENCE, content, algorithm, _der(_BITS, b"\0" + bytes(pair.sign_message(content))))


def _der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    digits = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(digits)]) + digits + content


def _pem(what: str, content: bytes) -> str:
    text = base64.encodebytes(content).decode()
    return f"-----BEGIN {what}-----\n{text}-----END {what}-----\n"
