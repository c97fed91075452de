"""Redis errors that become ours. Whatever Redis answers that is no answer is an outage of Redis, which only delays.

Below everything that speaks to Redis. A key of ours that somebody broke is the exception: it holds nothing that
Postgres does not know, so it is made anew, and the command is repeated once.
"""

import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from redis.exceptions import RedisError, ResponseError

from dexexec.errors import UnavailableError

T = TypeVar("T")

_CODES = re.compile(
    r"\b(ASK|BUSY|CLUSTERDOWN|CROSSSLOT|ERR|LOADING|MASTERDOWN|MISCONF|MOVED|NOAUTH|NOGROUP|NOPERM|NOREPLICAS|NOSCRIPT"
    r"|OOM|READONLY|TRYAGAIN|UNBLOCKED|UNKILLABLE|WRONGPASS|WRONGTYPE)\b"
)
_BROKEN = re.compile(r"\b(WRONGTYPE|NOGROUP)\b")
_EXHAUSTED = "exhausted the last possible ID"
UNREADABLE = (TypeError, ValueError, LookupError, AttributeError)
"""What reading an answer raises that has another shape than the command's."""


@contextmanager
def translate_redis_errors() -> Iterator[None]:
    """Raise `UnavailableError` for every error of Redis, and for an answer that cannot be read. The block holds one
    command and the reading of its answer, and nothing else."""
    try:
        yield
    except (RedisError, OSError) as error:
        code = code_of(error)
        raise UnavailableError(f"Redis refuses commands ({code})" if code else "Redis does not answer") from error
    except UNREADABLE as error:
        raise UnavailableError("Redis answers in a shape that is none") from error


async def with_repair(ask: Callable[[], Awaitable[T]], mend: Callable[[bool], Awaitable[object]]) -> T:
    """The answer of `ask`. If a key is broken, `mend` is called (with whether the stream takes no further entry,
    whatever its type) and it is asked once more. Raises `UnavailableError`."""
    with translate_redis_errors():
        try:
            return await ask()
        except ResponseError as error:
            text = f"{error.status_code} {error}"
            exhausted = _EXHAUSTED in text
            if not exhausted and not _BROKEN.search(text):
                raise
        await mend(exhausted)
        return await ask()


def code_of(error: BaseException) -> str:
    """The code of Redis' refusal, such as `OOM`; empty for what is none. redis-py cuts some codes off the text, and old
    scripts put more before it."""
    found = _CODES.findall(f"{getattr(error, 'status_code', None) or ''} {error}")
    return next((code for code in found if code != "ERR"), found[0] if found else "")
