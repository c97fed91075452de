"""`python -m tests.released`: lists what breaks clients of the last release; `--write` makes this version the release.

docs/openapi.json and docs/asyncapi.json are then those of this version. With breaking changes its number must be
another one than that of the last release.
"""

import argparse
import sys

from tests.released.documents import breaks, current, released, write


def main() -> int:
    """The exit code: 1 if something breaks and nothing was written."""
    parser = argparse.ArgumentParser(prog="python -m tests.released", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/openapi.json and docs/asyncapi.json")
    write_it = parser.parse_args().write
    before, now = released(), current()
    found = breaks(before, now)
    for change in found:
        print(change)  # noqa: T201 - a command
    same = before["openapi.json"]["info"]["version"] == now["openapi.json"]["info"]["version"]
    if write_it and found and same:
        print("These break clients: raise the version in dexexec/__init__.py and pyproject.toml first.")  # noqa: T201
        return 1
    if write_it:
        write(now)
        return 0
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
