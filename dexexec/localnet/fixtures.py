"""Reads `--program ID=FILE` and `--account PUBKEY=FILE`: dumps of real programs and accounts."""

import base64
import json
from pathlib import Path
from typing import Any

from solders.account import Account
from solders.pubkey import Pubkey

from dexexec.errors import StartupError

ELF = b"\x7fELF"
"""The first bytes of a program's file."""


def read_program(argument: str) -> tuple[Pubkey, bytes]:
    """A program's address and its ELF file (`solana program dump`). Raises `StartupError`."""
    address, path = _split(argument, "--program")
    # Checked here: LiteSVM's error for other files does not name the file.
    elf = _read(path, "--program")
    if not elf.startswith(ELF):
        raise StartupError(f"--program {path}: not an ELF file; get one with `solana program dump ID FILE`")
    return address, elf


def read_account(argument: str) -> tuple[Pubkey, Account]:
    """An account's address and its content, as `solana account --output json` writes it. Raises `StartupError`."""
    address, path = _split(argument, "--account")
    try:
        document: Any = json.loads(_read(path, "--account"))
        fields = document["account"]
        data, encoding = fields["data"]
        if encoding != "base64":
            raise ValueError(f"data are in {encoding}, not in base64")
        return address, Account(
            fields["lamports"],
            base64.b64decode(data, validate=True),
            Pubkey.from_string(fields["owner"]),
            fields["executable"],
            fields["rentEpoch"],
        )
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        # A KeyError's message is the bare key.
        problem = f"{error} is missing" if isinstance(error, KeyError) else error
        raise StartupError(
            f"--account {path}: {problem}; write it with `solana account --output json --output-file FILE PUBKEY`"
        ) from error


def _split(argument: str, option: str) -> tuple[Pubkey, Path]:
    address, equals, path = argument.partition("=")
    try:
        if not equals or not path:
            raise ValueError("no = with a file after it")
        return Pubkey.from_string(address), Path(path)
    except ValueError as error:
        raise StartupError(f"{option} {argument}: must be ADDRESS=FILE ({error})") from error


def _read(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartupError(f"{option} {path}: cannot be read ({error.strerror})") from error
