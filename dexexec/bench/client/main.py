"""The load client: a process of its own, so that it takes no time from what it measures but the machine's.

Reads one job per line from standard input, as JSON, and answers each with one line. Ends with its input.
"""

import asyncio
import json
import resource
import sys
from collections.abc import Coroutine
from typing import Any

from dexexec.bench.client.closed_loop import ClosedLoop
from dexexec.bench.client.fanout_sockets import Sockets
from dexexec.bench.client.http import EXECUTE, Target
from dexexec.bench.client.open_loop import OpenLoop


class Load:
    """Does jobs. Sockets stay open from one to the next."""

    def __init__(self) -> None:
        self._sockets: Sockets | None = None

    async def do(self, job: dict[str, Any]) -> dict[str, object]:
        """One job: `kind` and what it takes, beside `url`."""
        kind, url = job.pop("kind"), job.pop("url")
        target = Target.of(url)
        if kind == "closed":
            return await ClosedLoop(target, **{"path": EXECUTE, **job}).run()
        if kind == "paced":
            return await OpenLoop(target, **{"path": EXECUTE, **job}).run()
        if kind == "open":
            self._sockets = self._sockets or Sockets(target)
            return await self._sockets.open(job["count"])
        if self._sockets is None:
            raise ValueError("no sockets are open")
        if kind == "fan":
            return await self._sockets.fan(job["patience"])
        self._sockets.close()
        self._sockets = None
        return {}


async def main() -> None:
    """Serve jobs until the input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    load = Load()
    while line := await reader.readline():
        try:
            answer = await load.do(json.loads(line))
        except* OSError as errors:
            answer = {"error": "; ".join(sorted({str(error) or type(error).__name__ for error in flat(errors)}))}
        print(json.dumps(answer), flush=True)  # noqa: T201


def flat(errors: BaseExceptionGroup[OSError]) -> list[BaseException]:
    """The errors of a group and of the groups in it."""
    found: list[BaseException] = []
    for error in errors.exceptions:
        found += flat(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def fastest(work: Coroutine[Any, Any, None]) -> None:
    """Run on uvloop where there is one."""
    try:
        import uvloop  # noqa: PLC0415
    except ImportError:
        asyncio.run(work)
    else:
        uvloop.run(work)


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    fastest(main())
