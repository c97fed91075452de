"""Turns errors of Postgres into `UnavailableError`."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from dexexec.errors import UnavailableError
from dexexec.store.session_settings import UnwritableError

OUTAGES = (psycopg.Error, OSError)
"""By default every error of psycopg is an outage: Postgres is gone, restarting, hanging or not a primary, a right was
revoked, or a table is broken. Callers name the errors that mean something else (`Database.connection`)."""
SPOILED = (psycopg.NotSupportedError, psycopg.InternalError)
"""Errors that a session may raise each time for the same statement, such as one that was prepared before a table was
altered. Another session may succeed."""
REFUSALS = (psycopg.DataError, psycopg.IntegrityError)
"""Errors of one row, not of Postgres."""

TEXTS = {
    "25006": "Postgres takes no writes",
    "53100": "Postgres has no room left on its disk",
    "53300": "Postgres has no connection left",
}


@contextmanager
def translate_postgres_errors(passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Raise `UnavailableError` for every error of Postgres except those of `passing`. Other errors pass."""
    try:
        yield
    except passing:
        raise
    except OUTAGES as error:
        raise UnavailableError(_public_text(error)) from error


def _public_text(error: BaseException) -> str:
    """What clients may read about an error: no host, no table, no statement."""
    if isinstance(error, UnwritableError):
        return TEXTS["25006"]
    code = error.sqlstate if isinstance(error, psycopg.Error) else None
    if code in TEXTS:
        return TEXTS[code]
    # Class 08 is a lost connection, class 57 a server that shuts down or a statement that was cancelled.
    if not code or code[:2] in {"08", "57"}:
        return "Postgres does not answer"
    return f"Postgres refuses a statement ({code})"
