"""Compares the wheel and the sdist with the files that git tracks: nothing is missing, and nothing strays into them."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

FOLDERS = {"dexexec/": "dexexec/", "adapters/": "dexexec_adapters/", "sql/": "dexexec/sql/"}
"""Where the files of each folder are in a package: two of them are reached by a link."""
OF_SDIST = {"LICENSE", "PKG-INFO", "README.md", "pyproject.toml", "setup.cfg"}


def tracked() -> dict[str, bytes]:
    """Return the files that belong into a package, by their name there."""
    listed = subprocess.run(["git", "ls-files", "-z", *FOLDERS], capture_output=True, check=True, text=True)  # noqa: S607
    files = {}
    for name in filter(None, listed.stdout.split("\0")):
        folder = next(folder for folder in FOLDERS if name.startswith(folder))
        path = Path(name)
        if path.is_file() and not path.is_symlink():
            files[FOLDERS[folder] + name.removeprefix(folder)] = path.read_bytes()
    return files


def wheel_files(path: str) -> dict[str, bytes]:
    """Return the files of a wheel, without its metadata."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}


def sdist_files(path: str) -> dict[str, bytes]:
    """Return the files of an sdist, without what describes it."""
    files = {}
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            name = member.name.partition("/")[2]
            content = archive.extractfile(member) if member.isfile() else None
            if content and name not in OF_SDIST and not name.startswith("dexexec.egg-info/"):
                files[name] = content.read()
    return files


def main(direct: str, from_sdist: str, sdist: str) -> int:
    """Print each difference; 1 if there is any."""
    expected = tracked()
    differences = [
        f"{Path(path).name}: {name} is {what}"
        for path, files in (
            (direct, wheel_files(direct)),
            (from_sdist, wheel_files(from_sdist)),
            (sdist, sdist_files(sdist)),
        )
        for names, what in (
            (expected.keys() - files.keys(), "missing"),
            (files.keys() - expected.keys(), "not tracked by git, or does not belong there"),
            ({name for name in expected.keys() & files.keys() if expected[name] != files[name]}, "another content"),
        )
        for name in sorted(names)
    ]
    sys.stdout.writelines(f"{line}\n" for line in differences or [f"{len(expected)} files in wheel and sdist"])
    return 1 if differences else 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
