"""`python -m dexexec`: the command line of `dexexec.cli.main`."""

import gc
import sys

# Before the imports: they leave no garbage, and to look for it every 700 objects takes an eighth of the start.
gc.set_threshold(20_000, 20, 20)

from dexexec.cli.main import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
