"""Runs commands of the program in forks of one process that has imported it: each is a process of its own, and none
takes the time that the imports take."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.service.process import OURS

FORKS = """
import gc, json, os, signal, sys, traceback
import dexexec.bootstrap.service, dexexec.settlement.solana.sealer, uvloop
from dexexec.cli.main import main

gc.freeze()
for number, arguments in enumerate(json.load(sys.stdin)):
    if (pid := os.fork()) == 0:
        signal.alarm(60)
        for name, descriptor in (("out", 1), ("err", 2)):
            os.dup2(os.open(f"{number}.{name}", os.O_WRONLY | os.O_CREAT), descriptor)
        code = 1
        try:
            code = main(arguments)
        except SystemExit as ended:
            code = ended.code
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)  # to take all modules down takes longer than a command
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A command that has ended."""

    exit_code: int
    out: str
    err: str


def run_commands(commands: Sequence[Sequence[str]], settings: dict[str, str], folder: Path) -> list[Ended]:
    """Run each of the commands, one after the other, with these settings only and in that folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    done = subprocess.run(
        [sys.executable, "-c", FORKS],
        input=json.dumps([list(arguments) for arguments in commands]),
        cwd=folder,
        env={**kept, "HOME": str(folder), "PORT": "0", "DEXEXEC_START_SECONDS": "0", **settings},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    return [
        Ended(exit_code=int(code), out=(folder / f"{n}.out").read_text(), err=(folder / f"{n}.err").read_text())
        for n, code in enumerate(done.stdout.split())
    ]
