"""An nginx in front of a service, with the configuration that the documents offer: deploy/nginx.conf."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.certificates import write_certificate
from tests.support.ports import free_port
from tests.support.service.process import status
from tests.support.waiting import wait_until

PROGRAM = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx.conf"
PUBLIC_NAME = "dex.example"
"""The name of the service in the configuration."""

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
{given}
}}
"""


class Nginx:
    """One that can be stopped and started again, on the same port."""

    def __init__(self, folder: Path, *services: str) -> None:
        self._folder, self._port, self._secure_port = folder, free_port(), free_port()
        self._services = [service.rpartition(":")[2] for service in services]
        self._config = folder / "nginx.conf"
        self._configure()
        self.certificate, key = write_certificate(folder / "made", PUBLIC_NAME)
        (folder / "dexexec").mkdir()
        shutil.copy(self.certificate, folder / "dexexec" / "fullchain.pem")
        shutil.copy(key, folder / "dexexec" / "privkey.pem")
        self.url = f"http://127.0.0.1:{self._port}"
        self.secure_url = f"https://localhost:{self._secure_port}"

    def _configure(self, *down: str) -> None:
        upstreams = [f"server 127.0.0.1:{port}{' down' if port in down else ''};" for port in self._services]
        self._config.write_text(
            AROUND.format(
                user="user root;" if os.getuid() == 0 else "",
                folder=self._folder,
                given=configuration(self._port, self._secure_port, upstreams),
            )
        )

    def start(self) -> None:
        """Until it answers for the service."""
        assert PROGRAM is not None
        command = [PROGRAM, "-e", str(self._folder / "error.log"), "-p", str(self._folder), "-c", str(self._config)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

        def answers() -> bool:
            assert self._process.poll() is None, "nginx has ended, most likely for a mistake in its configuration"
            return status(f"{self.url}/healthz") in {200, 401}  # 401: the service answers, and requires a key

        wait_until(answers, 20, "nginx to answer")

    def leave_out(self, *services: str) -> None:
        """Reload with these services marked as down. Returns once nothing uses the former configuration any more."""
        before = self._workers()
        self._configure(*(service.rpartition(":")[2] for service in services))
        self._process.send_signal(signal.SIGHUP)
        wait_until(lambda: self._workers() and not before & self._workers(), 30, "nginx to end its former workers")

    def _workers(self) -> set[str]:
        pid = self._process.pid
        return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())

    def stop(self) -> None:
        """At once, as a restart does, with all connections."""
        self._process.terminate()
        self._process.wait(20)


@contextmanager
def nginx(*services: str) -> Iterator[Nginx]:
    """In front of the services at these URLs, which let 127.0.0.1 and the public name in."""
    folder = Path(tempfile.mkdtemp(prefix="dxn"))
    found = Nginx(folder, *services)
    found.start()
    try:
        yield found
    finally:
        found.stop()
        shutil.rmtree(folder)


def configuration(port: int, secure_port: int, upstreams: Sequence[str]) -> str:
    """The file with these ports in place of its own, and these lines for the services."""
    text = CONFIGURATION.read_text()
    ports = {
        "listen 127.0.0.1:80;": f"listen 127.0.0.1:{port};",
        "listen 443 ssl;": f"listen 127.0.0.1:{secure_port} ssl;",
        "server 127.0.0.1:3000;": " ".join(upstreams),
    }
    for line, replaced in ports.items():
        assert text.count(line) == 1
        text = text.replace(line, replaced)
    assert f"server_name {PUBLIC_NAME};" in text
    return text
