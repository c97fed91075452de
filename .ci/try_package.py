"""Tries an installed dexexec from the folder that it is started in, with the Python that it is installed for.

`refusals`: without extras, the errors name what is missing. `order`: the service starts on embedded servers, serves its
page and confirms an order. `localnet`: a local Solana starts. Only the standard library is used.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

COMMAND = Path(sys.executable).with_name("dexexec")
SECONDS = 60
"""For each thing that is waited for."""


def fetch(url: str, body: object = None, **headers: str) -> bytes:
    """Return the answer to a GET, or to a POST of `body`; raises `HTTPError` for a refusal."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers})  # noqa: S310
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
        content: bytes = answer.read()
    return content


@contextmanager
def running(*arguments: str) -> Iterator[str]:
    """Start dexexec on a free port and a data folder of its own. Yields the first address in its output."""
    with tempfile.TemporaryDirectory(prefix="dxp", dir="/tmp") as home:
        log = Path(home) / "log"
        environment = {**os.environ, "HOME": home, "PORT": "0", "DEXEXEC_DATA_DIR": f"{home}/data"}
        with log.open("wb") as output:
            process = subprocess.Popen([COMMAND, *arguments], stdout=output, stderr=output, env=environment)
        try:
            yield await_address(process, log)
        except BaseException:
            sys.stderr.write(log.read_text())
            raise
        finally:
            process.send_signal(signal.SIGTERM)
            stopped = process.wait(SECONDS)
        assert stopped == 0, f"dexexec stopped with {stopped}: {log.read_text()}"


def await_address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until the output has an address. Raises `TimeoutError`."""
    deadline = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text()):
            return found[0]
        time.sleep(0.05)
    raise TimeoutError("dexexec has printed no address")


def await_status(url: str, status: str) -> dict[str, Any]:
    """Wait until an order has the status. Raises `TimeoutError`."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        order: dict[str, Any] = json.loads(fetch(url))
        if order["status"] == status:
            return order
        time.sleep(0.05)
    raise TimeoutError(f"{order}")


def check_refusals() -> None:
    """Without extras, a start ends with one line that names the extra."""
    for extra, arguments in (("embedded", ()), ("solana", ("localnet",))):
        ended = subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=SECONDS, check=False)
        assert ended.returncode == 2, ended
        assert f"WHEEL[{extra}]" in ended.stderr, ended
        assert "Traceback" not in ended.stderr, ended


def check_order() -> None:
    """The page with everything that it names, and an order from its POST to its end."""
    with running() as url:
        page = fetch(url, Accept="text/html").decode()
        assets = re.findall(r'(?:src|href)="(/assets/[^"]+)"', page)
        assert assets, page
        for asset in assets:
            assert fetch(url + asset), f"{asset} is empty"
        placed = json.loads(fetch(f"{url}/api/orders/execute", {"side": "buy", "amount": "0.01"}))
        order = await_status(f"{url}/api/orders/{placed['orderId']}", "confirmed")
        assert len(order["quotes"]) == 2, order  # both adapters are in the package


def check_localnet() -> None:
    """A local Solana answers like a healthy node."""
    with running("localnet", "--port", "0") as url:
        answer = json.loads(fetch(url, {"jsonrpc": "2.0", "id": 1, "method": "getHealth"}))
        assert answer["result"] == "ok", answer


if __name__ == "__main__":
    {"refusals": check_refusals, "order": check_order, "localnet": check_localnet}[sys.argv[1]]()
    sys.stdout.write(f"{sys.version.split()[0]}: {sys.argv[1]} passed\n")
