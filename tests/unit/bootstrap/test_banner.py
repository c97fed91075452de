"""The banner: its addresses, and the command that it shows runs in a second terminal."""

import subprocess
import sys
from pathlib import Path

import pytest

from dexexec.bootstrap.banner import banner, dexexec_command
from dexexec.bootstrap.listening_sockets import reachable
from dexexec.bootstrap.servers import Servers
from dexexec.config.settings import Settings
from dexexec.store import Address


@pytest.fixture
def venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `.venv/bin/python`, which is what runs, and the working directory."""
    scripts = tmp_path / ".venv" / "bin"
    scripts.mkdir(parents=True)
    monkeypatch.setattr(sys, "executable", str(scripts / "python"))
    monkeypatch.chdir(tmp_path)
    return scripts


def test_in_the_folder_of_the_venv_the_script_is_named_by_its_relative_path(venv: Path) -> None:
    (venv / "dexexec").touch()
    assert dexexec_command() == ".venv/bin/dexexec"


def test_in_another_folder_the_script_is_named_by_its_whole_path(
    venv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (venv / "dexexec").touch()
    other = tmp_path / "other folder"
    other.mkdir()
    monkeypatch.chdir(other)
    assert dexexec_command() == str(venv / "dexexec")


def test_a_path_with_a_space_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "a folder" / "dexexec"
    script.parent.mkdir()
    script.touch()
    monkeypatch.setattr(sys, "executable", str(script.with_name("python")))
    monkeypatch.chdir(tmp_path)
    assert dexexec_command() == "'a folder/dexexec'"


def test_without_a_script_the_interpreter_runs_the_module(venv: Path) -> None:
    assert dexexec_command() == f"{venv / 'python'} -m dexexec"


def test_the_command_of_this_installation_runs() -> None:
    done = subprocess.run(["sh", "-c", f"{dexexec_command()} --version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("dexexec ")


def test_with_a_certificate_the_banner_has_https_and_wss() -> None:
    settings = Settings(_env_file=None, tls_cert=Path("/a.pem"), tls_key=Path("/b.pem"))
    servers = Servers(Address(host="db"), "redis://cache", ())
    text = banner(settings, servers, reachable(settings, 3000))
    for line in ("POST https://127.0.0.1:3000/", "wss://127.0.0.1:3000/", "https://127.0.0.1:3000/readyz"):
        assert line in text
    assert "http://" not in text
