"""The load client's process, separate so that the only time it takes from the measured service is the machine's.

Reads one job per line from standard input, as JSON, and answers each with one line. Exits when its input ends.
"""

import asyncio
import json
import resource
import sys
from collections.abc import Coroutine
from typing import Any

from dexexec.bench.client.closed_loop import ClosedLoop
from dexexec.bench.client.fanout_sockets import FanoutSockets
from dexexec.bench.client.http import EXECUTE, Target
from dexexec.bench.client.open_loop import OpenLoop


class JobRunner:
    """Runs jobs. Fan-out sockets stay open from one job to the next."""

    def __init__(self) -> None:
        self._sockets: FanoutSockets | None = None

    async def run(self, job: dict[str, Any]) -> dict[str, object]:
        """Run one job: its `kind`, the server's `url`, and the options of that kind."""
        kind = job.pop("kind")
        target = Target.of(job.pop("url"))
        match kind:
            case "closed_loop":
                return await ClosedLoop(target, **{"path": EXECUTE, **job}).run()
            case "open_loop":
                return await OpenLoop(target, **{"path": EXECUTE, **job}).run()
            case "open_sockets":
                self._sockets = self._sockets or FanoutSockets(target)
                return await self._sockets.open(job["count"])
        if self._sockets is None:
            raise ValueError("no sockets are open")
        if kind == "fan_out":
            return await self._sockets.fan_out(job["patience"])
        self._sockets.close()
        self._sockets = None
        return {}


async def main() -> None:
    """Run jobs until the input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    runner = JobRunner()
    while line := await reader.readline():
        try:
            answer = await runner.run(json.loads(line))
        except* OSError as errors:
            texts = {str(error) or type(error).__name__ for error in flattened(errors)}
            answer = {"error": "; ".join(sorted(texts))}
        print(json.dumps(answer), flush=True)  # noqa: T201


def flattened(errors: BaseExceptionGroup[OSError]) -> list[BaseException]:
    """The errors of a group and of the groups in it."""
    leaves: list[BaseException] = []
    for error in errors.exceptions:
        leaves += flattened(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves


def run_on_fastest_loop(work: Coroutine[Any, Any, None]) -> None:
    """Run on uvloop if it is installed, else on asyncio's own loop."""
    try:
        import uvloop  # noqa: PLC0415
    except ImportError:
        asyncio.run(work)
    else:
        uvloop.run(work)


if __name__ == "__main__":
    # Thousands of sockets: the soft limit of many systems is 256 or 1,024 open files.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    run_on_fastest_loop(main())
