"""Turns errors of Redis into `UnavailableError`, and repairs keys of a wrong type.

Every module that sends commands to Redis uses it. Redis holds nothing that Postgres does not have, so a broken key is
deleted and made again, and an outage only delays orders.
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
"""Exceptions raised by reading an answer that does not have the shape of the command's answers."""


@contextmanager
def translate_redis_errors() -> Iterator[None]:
    """Raise `UnavailableError` for every error of Redis, and for an answer that cannot be read. The block must hold one
    command and the reading of its answer, and nothing else."""
    try:
        yield
    except (RedisError, OSError) as error:
        code = code_of(error)
        raise UnavailableError(f"Redis refuses commands ({code})" if code else "Redis does not answer") from error
    except UNREADABLE as error:
        raise UnavailableError("Redis answers in an unexpected shape") from error


async def with_repair(command: Callable[[], Awaitable[T]], repair: Callable[[bool], Awaitable[object]]) -> T:
    """Run `command` and return its answer. If a key is broken, run `repair` and then the command once more.

    `repair` gets whether the stream takes no further entry. Raises `UnavailableError`.
    """
    with translate_redis_errors():
        try:
            return await command()
        except ResponseError as error:
            text = f"{error.status_code} {error}"
            # Someone may add an entry with the highest possible ID. The stream then refuses every further one.
            exhausted = _EXHAUSTED in text
            if not exhausted and not _BROKEN.search(text):
                raise
        # Once only: if another program keeps breaking the key, the caller gets an outage instead of an endless loop.
        await repair(exhausted)
        return await command()


def code_of(error: BaseException) -> str:
    """The code of a refusal by Redis, such as `OOM`; empty without a code."""
    # redis-py removes some codes from the text (they are in `status_code`), and old scripts put words before the code.
    codes = _CODES.findall(f"{getattr(error, 'status_code', None) or ''} {error}")
    return next((code for code in codes if code != "ERR"), codes[0] if codes else "")
