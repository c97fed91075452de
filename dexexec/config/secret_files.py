"""Settings that may name a file instead of holding a secret: `REDIS_URL=file:/run/secrets/redis-url`.

Containers and systemd hand secrets to a process as files, since its environment is shown by many tools.
"""

from collections.abc import Iterable, Mapping

from dexexec.config.secret_reference import FILE_PREFIX, read_secret

IN_FILES = frozenset({"DATABASE_URL", "PG_PASSWORD", "REDIS_URL", "SOLANA_RPC_URL", "DEXEXEC_SEND_URLS"})
"""Their variables. SOLANA_WALLET_SECRET_KEY has rules of its own: only a worker reads its file."""


def from_file(value: object) -> object:
    """The content of the file that the value names, or the value itself. Raises `ValueError`, which repeats neither."""
    if isinstance(value, str) and value.startswith(FILE_PREFIX):
        return read_secret(value)
    return value


def with_contents(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables with the contents of files in place of their names. Secrets are masked by these values."""
    return dict(_contents(variables.items()))


def _contents(variables: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    for name, value in variables:
        try:
            content = str(from_file(value)) if name.upper() in IN_FILES else value
        except ValueError:  # the settings name this mistake; what masks secrets must work without the file
            content = value
        yield name, content
