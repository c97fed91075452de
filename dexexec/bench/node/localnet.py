"""The localnet of a benchmark as a child process, and calls to it."""

import json
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dexexec.bench.processes import BenchError, Child, ProcessGroup

START_SECONDS = 60.0
CALL_SECONDS = 30.0


class Localnet:
    """A localnet on free ports with its ledger in `folder`. `options` are more options of its command."""

    def __init__(
        self, processes: ProcessGroup, folder: Path, environment: Mapping[str, str], options: Sequence[str] = ()
    ) -> None:
        arguments = ["-m", "dexexec", "localnet", "--port", "0", "--data-dir", str(folder), *options]
        self.child: Child = processes.start("the localnet", arguments, environment)
        self.url = self.child.line(START_SECONDS, "RPC").split()[1]
        self.port = urlsplit(self.url).port or 0

    def call(self, method: str, *params: object) -> Any:
        """The result of a JSON-RPC call. Raises `BenchError` for an error."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})  # noqa: S310 - http
        try:
            with urllib.request.urlopen(request, timeout=CALL_SECONDS) as answer:  # noqa: S310
                document = json.loads(answer.read())
        except OSError as error:
            raise BenchError(f"the localnet did not answer {method}: {error}") from error
        if "error" in document:
            raise BenchError(f"the localnet refused {method}: {document['error']}")
        return document["result"]

    def fund(self, owner: str, mint: str, decimals: int, amount: int) -> None:
        """Give `owner` base units of a token, or lamports if `mint` is empty."""
        self.call("localnet_fund", owner, mint, decimals, amount)
