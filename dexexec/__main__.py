"""`python -m dexexec`: the command line of `dexexec.cli.main`."""

import sys

from dexexec.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
