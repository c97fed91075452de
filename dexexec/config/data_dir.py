"""The default folder of the embedded servers' data."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def default_data_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The platform's folder for a user's application data, with `dexexec` below it. It may begin with `~`."""
    # `~` is expanded on use only: a process without a home folder can start with servers of its own.
    if sys.platform == "darwin":
        return Path("~/Library/Application Support/dexexec")
    return Path(environ.get("XDG_DATA_HOME") or "~/.local/share") / "dexexec"
