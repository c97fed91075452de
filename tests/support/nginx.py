"""An nginx in front of a service, with the configuration of docs/SCALING.md."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.service.process import status
from tests.support.waiting import wait_until

PROGRAM = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
SCALING = Path(__file__).parents[2] / "docs" / "SCALING.md"
PUBLIC_NAME = "dex.example"
"""The name of the service in the documents' configuration."""

needs_nginx = pytest.mark.skipif(
    PROGRAM is None, reason="nginx is not installed (apt-get install nginx); .ci/run installs it"
)

AROUND = """
{user}
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
access_log off;
client_body_temp_path {folder}/body;
proxy_temp_path {folder}/proxy;
fastcgi_temp_path {folder}/fastcgi;
uwsgi_temp_path {folder}/uwsgi;
scgi_temp_path {folder}/scgi;
{documented}
}}
"""


class Nginx:
    """One that can be stopped and started again, on the same port."""

    def __init__(self, folder: Path, service: str) -> None:
        self._folder, self._port = folder, free_port()
        self._config = folder / "nginx.conf"
        self._config.write_text(
            AROUND.format(
                user="user root;" if os.getuid() == 0 else "",
                folder=folder,
                documented=documented(f"127.0.0.1:{self._port}", service.removeprefix("http://")),
            )
        )
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Until it answers for the service."""
        assert PROGRAM is not None
        command = [PROGRAM, "-e", str(self._folder / "error.log"), "-p", str(self._folder), "-c", str(self._config)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        wait_until(lambda: status(f"{self.url}/healthz") == 200, 20, f"nginx to answer, {self._process.poll()}")

    def stop(self) -> None:
        """At once, as a restart does, with all connections."""
        self._process.terminate()
        self._process.wait(20)


@contextmanager
def nginx(service: str) -> Iterator[Nginx]:
    """In front of the service at this URL, which lets 127.0.0.1 and the public name in."""
    folder = Path(tempfile.mkdtemp(prefix="dxn"))
    found = Nginx(folder, service)
    found.start()
    try:
        yield found
    finally:
        found.stop()
        shutil.rmtree(folder)


def documented(listen: str, upstream: str) -> str:
    """The configuration of the documents, with these two addresses in place of theirs."""
    [text] = re.findall(r"^```nginx\n(.*?)^```$", SCALING.read_text(), re.MULTILINE | re.DOTALL)
    for theirs, ours in (("listen 80;", f"listen {listen};"), ("server 127.0.0.1:3000;", f"server {upstream};")):
        assert text.count(theirs) == 1
        text = text.replace(theirs, ours)
    assert f"server_name {PUBLIC_NAME};" in text
    return str(text)
