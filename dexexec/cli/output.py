"""What commands print: text with all secrets masked."""

import os

from dexexec.errors import SettingsError
from dexexec.observe.redaction import Redactor


def redactor() -> Redactor:
    """The redactor for this process: it masks the secrets of the environment and of `.env`."""
    from dexexec.config.environment import environment  # noqa: PLC0415 - --help should not wait for it

    # Read for each text: a failed start may print before the settings are loaded.
    try:
        return Redactor(environment())
    except SettingsError:  # an unreadable `.env` sets nothing, so its values cannot be printed
        return Redactor(os.environ)


def print_text(text: str) -> None:
    """Print `text` on standard output at once; nothing if it is empty."""
    if text:
        print(redactor()(text), flush=True)  # noqa: T201
