"""Secrets by reference: a setting names the place of a secret and never holds it.

The place is read each time, so that a secret can be replaced while the service runs.
"""

import os
from pathlib import Path

FILE_PREFIX = "file:"
VARIABLE_PREFIX = "env:"
VALID = "file:PATH to a file with it, or env:NAME of a variable with it"
LONGEST_SECRET = 65_536


def is_reference(text: str) -> bool:
    """Whether the text names the place of a secret."""
    return text.startswith((FILE_PREFIX, VARIABLE_PREFIX))


def read_secret(reference: str) -> str:
    """The secret at the place. Raises `ValueError`, whose text never holds what was read, nor `reference` itself: a
    secret may have been written there by mistake."""
    if reference.startswith(VARIABLE_PREFIX):
        value = os.environ.get(reference.removeprefix(VARIABLE_PREFIX), "")
    elif reference.startswith(FILE_PREFIX):
        value = _content(Path(reference.removeprefix(FILE_PREFIX)))
    else:
        raise ValueError(f"it must be {VALID}, and not the secret itself")
    # An editor ends a file with a line break, which is no part of the secret.
    if not value.strip():
        raise ValueError("its secret is empty or not set")
    return value.strip()


def _content(path: Path) -> str:
    try:
        with path.expanduser().open(encoding="utf-8") as file:
            content = file.read(LONGEST_SECRET + 1)
    # UnicodeDecodeError is a ValueError with what it read. RuntimeError: there is no home for `~`.
    except (OSError, RuntimeError, ValueError):
        content = None
    if content is None:
        raise ValueError("its secret's file cannot be read")
    if len(content) > LONGEST_SECRET:
        raise ValueError("its secret's file is too long")
    return content
