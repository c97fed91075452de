"""Tries at the start what a running service asks of Redis: an ACL that lacks a command shows only when it is used.

Each command is run once on a key of its own, all in one round trip; what else they answer does not matter.
docs/SCALING.md grants exactly these.
"""

import redis.asyncio
from redis.exceptions import NoPermissionError, ResponseError

from dexexec.errors import UnusableError

SCRIPT = "return 1"
SCRIPT_SHA = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"
PROBES = f"""
PING
TIME
TYPE KEY
EXISTS KEY
SADD KEY a
SCARD KEY
SREM KEY a
XGROUP CREATE KEY g 0 MKSTREAM
XADD KEY * id a
XLEN KEY
XREADGROUP GROUP g c COUNT 1 STREAMS KEY >
XPENDING KEY g
XINFO CONSUMERS KEY g
XCLAIM KEY g c 0 0-1
XAUTOCLAIM KEY g c 0 0 COUNT 1
XACK KEY g 0-1
XDEL KEY 0-1
XGROUP DELCONSUMER KEY g c
DEL KEY
ZADD KEY 1 a
ZCARD KEY
ZRANGE KEY 0 0
ZREM KEY b
ZREMRANGEBYSCORE KEY 2 3
PEXPIRE KEY 1000
EVALSHA {SCRIPT_SHA} 1 KEY
DEL KEY
PUBLISH CHANNEL
"""


def channel(prefix: str) -> str:
    """Where events are published."""
    return f"{prefix}:events"


async def check_rights(client: redis.asyncio.Redis, place: str, prefix: str) -> None:
    """Raises `UnusableError` when our user may not run one of the commands, or not on our keys and our channel; and
    what redis-py raises when Redis does not answer."""
    words = {"KEY": f"{{{prefix}}}:rights", "CHANNEL": channel(prefix)}
    commands = [[words.get(word, word) for word in line.split()] for line in PROBES.split("\n") if line]
    commands[-1].append("")  # an empty message, which nobody takes for an event
    commands.insert(0, ["SCRIPT", "LOAD", SCRIPT])
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    answers = await pipeline.execute(raise_on_error=False)
    for command, answer in zip(commands, answers, strict=True):
        if _is_refusal(answer):
            named = 2 if command[0] in {"XGROUP", "XINFO", "SCRIPT"} else 1
            raise refused(place, " ".join(command[:named]), answer)
    async with client.pubsub() as pubsub:
        try:
            await pubsub.subscribe(channel(prefix))
            await pubsub.get_message(timeout=1)
        except ResponseError as error:
            raise refused(place, "SUBSCRIBE", error) from error


def refused(place: str, command: str, error: Exception) -> UnusableError:
    """One line for people."""
    why = str(error).partition("\n")[0].removeprefix("NOPERM ").rstrip(".")
    return UnusableError(
        f"Redis at {place} cannot be used: it refuses {command} to the user of REDIS_URL ({why}). docs/SCALING.md has"
        " the ACL that is needed."
    )


def _is_refusal(answer: object) -> bool:
    return isinstance(answer, NoPermissionError) or (
        isinstance(answer, ResponseError) and str(answer).startswith("unknown command")
    )
