"""docs/LOCALNET.md describes exactly the methods, options and faults that exist."""

import argparse
import re
from dataclasses import fields
from pathlib import Path

from dexexec.cli.main import parser
from dexexec.localnet.blocks import SLOT_MS, Consensus
from dexexec.localnet.faults import AnswerFault, Faults, FaultyAnswer, ForgottenStatuses, NotificationFaults
from dexexec.localnet.lies import HONEST
from dexexec.localnet.rpc.dispatch import FAULT_METHODS, METHODS
from dexexec.localnet.rpc.subscriptions import KINDS

SUBSCRIPTIONS = {*(kind.kind for kind in KINDS), "signature"}
TEXT = (Path(__file__).parents[3] / "docs" / "LOCALNET.md").read_text()


def rows(heading: str) -> list[str]:
    """The first cells of all tables below a heading of the document."""
    section = TEXT.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| ((?:`[^`]+`(?:, )?)+) \|", section, re.MULTILINE)


def names(heading: str) -> set[str]:
    return {name for row in rows(heading) for name in re.findall("`([^`]+)`", row)}


def test_every_method_is_documented_and_no_other() -> None:
    sockets = {f"{kind}{what}" for kind in SUBSCRIPTIONS for what in ("Subscribe", "Unsubscribe")}
    assert names("Methods") == METHODS.keys() | sockets


def test_every_fault_is_documented_and_no_other() -> None:
    assert names("Faults") == FAULT_METHODS.keys() | {field.name for field in fields(Faults)} | set(FaultyAnswer)
    words = [
        *(field.name for field in fields(AnswerFault)),
        *(set(ForgottenStatuses) - {ForgottenStatuses.NOTHING}),
        *HONEST.body(),
        *(field.name for field in fields(NotificationFaults)),
    ]
    for word in words:
        assert word in TEXT.partition("## Faults\n")[2]


def test_every_option_is_documented_with_its_default() -> None:
    [commands] = [action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    there = {action.option_strings[-1]: action.default for action in commands.choices["localnet"]._actions}
    assert re.findall(r"^\| `(--[a-z-]+)", TEXT, re.MULTILINE) == [name for name in there if name != "--help"]
    assert re.search(rf"^\| `--port N` \| `{there['--port']}` \|", TEXT, re.MULTILINE)
    lengths = f"`{SLOT_MS[Consensus.ALPENGLOW]}`, with `tower` `{SLOT_MS[Consensus.TOWER]}`"
    assert f"| `--slot-ms N` | {lengths} |" in TEXT
    assert f"| `--consensus NAME` | `{there['--consensus']}` |" in TEXT
