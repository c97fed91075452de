"""An nginx in front of a service, with the configuration that the documents offer: deploy/nginx.conf."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
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

    def __init__(self, folder: Path, service: str) -> None:
        self._folder, port, secure_port = folder, free_port(), free_port()
        self._config = folder / "nginx.conf"
        self._config.write_text(
            AROUND.format(
                user="user root;" if os.getuid() == 0 else "",
                folder=folder,
                given=configuration(port, secure_port, int(service.rpartition(":")[2])),
            )
        )
        self.certificate, key = write_certificate(folder / "made", PUBLIC_NAME)
        (folder / "dexexec").mkdir()
        shutil.copy(self.certificate, folder / "dexexec" / "fullchain.pem")
        shutil.copy(key, folder / "dexexec" / "privkey.pem")
        self.url = f"http://127.0.0.1:{port}"
        self.secure_url = f"https://localhost:{secure_port}"

    def start(self) -> None:
        """Until it answers for the service."""
        assert PROGRAM is not None
        command = [PROGRAM, "-e", str(self._folder / "error.log"), "-p", str(self._folder), "-c", str(self._config)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

        def answers() -> bool:
            assert self._process.poll() is None, "nginx has ended, most likely for a mistake in its configuration"
            return status(f"{self.url}/healthz") == 200

        wait_until(answers, 20, "nginx to answer")

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


def configuration(port: int, secure_port: int, service: int) -> str:
    """The file with these ports in place of its own."""
    text = CONFIGURATION.read_text()
    ports = {
        "listen 127.0.0.1:80;": f"listen 127.0.0.1:{port};",
        "listen 443 ssl;": f"listen 127.0.0.1:{secure_port} ssl;",
        "server 127.0.0.1:3000;": f"server 127.0.0.1:{service};",
    }
    for line, replaced in ports.items():
        assert text.count(line) == 1
        text = text.replace(line, replaced)
    assert f"server_name {PUBLIC_NAME};" in text
    return text
