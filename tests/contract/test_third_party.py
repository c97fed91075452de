"""A third-party adapter is installed, found, enabled and checked like the project's own.

`tests/acme_venue` is built by its own build backend, and its wheel unpacked into an empty folder, as installers do.
Everything then happens in separate processes, which see that folder and nothing else of the package.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from dexexec.venues.registry import installed

SOURCE = Path(__file__).parent.parent / "acme_venue"
ROOT = SOURCE.parent.parent
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
LIST = """
import os, sys
from dexexec.cli.adapter_report import list_adapters
sys.exit(list_adapters(os.environ["DEXEXEC_ADAPTERS"].split(",")))
"""
CHECK = """
import os, sys
from dexexec.cli.adapter_report import check_adapter
sys.exit(check_adapter(sys.argv[1], os.environ))
"""
OPTIONS = "from dexexec.venues.registry import option_names; print(*sorted(option_names()))"


def run(code: str, *arguments: str, cwd: Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DEXEXEC_")}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=cwd, env=kept | environ, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the package is installed."""
    source = shutil.copytree(SOURCE, tmp_path_factory.mktemp("source") / "acme_venue")
    wheels, target = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    built = run(BUILD, str(wheels), cwd=source, environ={})
    assert built.returncode == 0, built.stderr
    [wheel] = wheels.glob("*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def with_acme(site: Path, code: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return run(code, *arguments, cwd=site, environ={"PYTHONPATH": f"{site}{os.pathsep}{ROOT}"} | environ)


def test_it_is_listed_as_enabled_with_the_package_that_brought_it_and_its_settings(site: Path) -> None:
    done = with_acme(site, LIST, DEXEXEC_ADAPTERS="acme")
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line}
    assert rows["acme"] == ["acme", "yes", "simulated", "exactIn", "1", "acme-venue", "1.2.3"]
    assert rows["mock-raydium"][1] == "no"
    assert "DEXEXEC_ACME_SPREAD_BPS" in rows


def test_installed_does_not_mean_enabled(site: Path) -> None:
    done = with_acme(site, LIST, DEXEXEC_ADAPTERS="mock-raydium")
    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line}
    assert (rows["acme"][1], rows["mock-raydium"][1]) == ("no", "yes")


@pytest.mark.parametrize("name", ["acme", "acme_venue:Acme"])
def test_it_keeps_the_contract_by_name_and_by_path(site: Path, name: str) -> None:
    done = with_acme(site, CHECK, name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("acme (acme_venue:Acme)\n")
    assert "0 broken" in done.stdout
    assert re.search(r"^  skip  modes-agree +the capabilities have only one mode$", done.stdout, re.MULTILINE)


def test_its_settings_are_known_and_bounded(site: Path) -> None:
    assert "DEXEXEC_ACME_PRICE" in with_acme(site, OPTIONS).stdout.split()
    done = with_acme(site, CHECK, "acme", DEXEXEC_ACME_SPREAD_BPS="5000")
    assert done.returncode != 0
    assert "DEXEXEC_ACME_SPREAD_BPS must be a whole number from 0 to 1000, not '5000'" in done.stderr


def test_without_the_package_the_adapter_does_not_exist(tmp_path: Path) -> None:
    done = with_acme(tmp_path, CHECK, "acme")
    assert done.returncode != 0
    assert f"there is no adapter 'acme': installed are {', '.join(installed())};" in done.stderr
