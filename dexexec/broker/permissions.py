"""Checks at the start that the Redis user may run every command that a running service needs.

Otherwise a command that the ACL lacks would fail only when it is first used. docs/SCALING.md grants exactly these.
"""

import redis.asyncio
from redis.exceptions import NoPermissionError, ResponseError

from dexexec.errors import UnusableError

SCRIPT = "return 1"
SCRIPT_SHA = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"
# Each runs once, on a key that no service uses. Their order makes them succeed: the group before its entries, the keys
# deleted at the end.
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
    """The channel that events are published on."""
    return f"{prefix}:events"


async def check_rights(client: redis.asyncio.Redis, place: str, prefix: str) -> None:
    """Raise `UnusableError` if the user may not run one of the commands on our keys and our channel. Raises the errors
    of redis-py when Redis does not answer."""
    words = {"KEY": f"{{{prefix}}}:rights", "CHANNEL": channel(prefix)}
    commands = [[words.get(word, word) for word in line.split()] for line in PROBES.split("\n") if line]
    commands[-1].append("")  # an empty message, which no feed takes for an event
    commands.insert(0, ["SCRIPT", "LOAD", SCRIPT])  # first: EVALSHA fails for a script that was not loaded
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    answers = await pipeline.execute(raise_on_error=False)
    # Only refusals count: what else a command answers on these keys does not matter.
    for command, answer in zip(commands, answers, strict=True):
        if _is_refusal(answer):
            # Subcommands have permissions of their own, so they are named.
            named = 2 if command[0] in {"XGROUP", "XINFO", "SCRIPT"} else 1
            raise refused(place, " ".join(command[:named]), answer)
    async with client.pubsub() as pubsub:
        try:
            await pubsub.subscribe(channel(prefix))
            await pubsub.get_message(timeout=1)
        except ResponseError as error:
            raise refused(place, "SUBSCRIBE", error) from error


def refused(place: str, command: str, error: Exception) -> UnusableError:
    """The error for a command that Redis refuses, in one line."""
    why = str(error).partition("\n")[0].removeprefix("NOPERM ").rstrip(".")
    return UnusableError(
        f"Redis at {place} cannot be used: it refuses {command} to the user of REDIS_URL ({why}). docs/SCALING.md has"
        " the ACL that is needed."
    )


def _is_refusal(answer: object) -> bool:
    return isinstance(answer, NoPermissionError) or (
        isinstance(answer, ResponseError) and str(answer).startswith("unknown command")
    )
