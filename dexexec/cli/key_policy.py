"""The policy of a key on the command line: options of `keys create` and `keys policy`, and what the latter does."""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from dexexec.domain.policy_json import NAMES, PolicyFormatError, policy_json, read_policy
from dexexec.errors import StartupError

if TYPE_CHECKING:
    from dexexec.domain.policy import Policy
    from dexexec.domain.token import Tokens
    from dexexec.store import Database

STDIN = "-"
LARGEST_FILE = 1_000_000
_COUNTS = {
    "openOrders": "orders that may be open at once",
    "sockets": "WebSockets that may be open at once",
    "maxSlippageBps": "the largest slippageBps",
    "maxPriceImpactBps": "the largest maxPriceImpactBps",
}
_AMOUNTS = {
    "maxPerOrder": "base units of a token that one order may spend, such as SOL=1000000000; repeatable",
    "maxPerDay": "base units of a token that all orders may spend on a UTC day; repeatable",
}
_LISTS = {
    "mints": "tokens that may be spent or received, comma-separated (mints or symbols)",
    "venues": "venues that may be queried, comma-separated",
    "kinds": "types of orders that are allowed, comma-separated",
    "wallets": "wallets that may pay, comma-separated; default: the one of orders that name none",
}


def add_options(parser: argparse.ArgumentParser, *, file_option: str) -> None:
    """Add an option for each limit, and `file_option` for a whole policy."""
    limits = parser.add_argument_group("policy", "limits of the key; a limit that is not given does not exist")
    limits.add_argument(
        file_option, dest="policy_file", metavar="FILE", help=f"a file with the policy as JSON; {STDIN}: standard input"
    )
    limits.add_argument(_option("requestsPerSecond"), dest="requestsPerSecond", type=float, metavar="N",
                        help="requests per second")  # fmt: skip
    for name, text in _COUNTS.items():
        limits.add_argument(_option(name), dest=name, type=int, metavar="N", help=text)
    for name, text in _AMOUNTS.items():
        limits.add_argument(_option(name), dest=name, type=_amount, action="append", metavar="TOKEN=UNITS", help=text)
    for name, text in _LISTS.items():
        limits.add_argument(_option(name), dest=name, metavar="NAMES", help=text)


def add_policy_parser(which: Any, name_type: Any) -> argparse.ArgumentParser:
    """Add `keys policy` to the actions of `keys`."""
    policy: argparse.ArgumentParser = which.add_parser(
        "policy",
        help="show or change the policy of a key",
        description="Show the policy of a key, or change it: --set replaces it, other options change single limits.",
    )
    policy.add_argument("name", metavar="NAME", type=name_type, help="the key's name")
    policy.add_argument("--show", action="store_true", help="only print it")
    policy.add_argument(
        "--unlimited", action="append", choices=NAMES, metavar="LIMIT", help="remove a limit by its name"
    )
    add_options(policy, file_option="--set")
    return policy


def chosen_policy(options: argparse.Namespace, tokens: "Tokens", before: Mapping[str, object]) -> "Policy":
    """The policy that the options ask for: of a file, or `before` with single limits changed. Raises `StartupError`."""
    # First what is there, then what is taken away, then what is given: an option beside --set has the last word.
    limits = dict(before) if options.policy_file is None else _file(options.policy_file)
    for name in getattr(options, "unlimited", None) or ():
        limits.pop(name, None)
    for name in (*_COUNTS, "requestsPerSecond"):
        if (value := getattr(options, name)) is not None:
            limits[name] = value
    for name in _AMOUNTS:
        if (amounts := getattr(options, name)) is not None:
            limits[name] = {_mint(token, tokens): units for token, units in amounts}
    for name in _LISTS:
        if (text := getattr(options, name)) is not None:
            names = [part.strip() for part in text.split(",") if part.strip()]
            limits[name] = [_mint(each, tokens) for each in names] if name == "mints" else names
    # By the reader of the stored policy, so that nothing is stored that a service could not read.
    try:
        return read_policy(limits)
    except PolicyFormatError as error:
        raise StartupError(f"the policy is not valid: {error}") from None


async def run(options: argparse.Namespace, database: "Database", tokens: "Tokens", out: TextIO, notes: TextIO) -> int:
    """Show or change the policy of a key. Returns 1 if no key has that name. Raises `StartupError`."""
    from dexexec.store.api_keys import change_policy, policy_of_key  # noqa: PLC0415 - --help should not wait for it

    only_shows = options.show or not is_change(options)
    if only_shows:
        found = await policy_of_key(database, options.name)
    else:
        found = await change_policy(
            database, options.name, lambda before: policy_json(chosen_policy(options, tokens, before))
        )
    if found is None:
        notes.write(f"there is no valid key {options.name}\n")
        return 1
    out.write(json.dumps(found, indent=None if options.json else 2) + "\n")
    if not only_shows:
        notes.write(f"This is the policy of {options.name} now. Services have read it within a second.\n")
    return 0


def is_change(options: argparse.Namespace) -> bool:
    """Whether any option changes a limit."""
    names = ("policy_file", "unlimited", "requestsPerSecond", *_COUNTS, *_AMOUNTS, *_LISTS)
    return any(getattr(options, name, None) is not None for name in names)


def _option(name: str) -> str:
    """`maxPerOrder` -> `--max-per-order`."""
    return "--" + "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name)


def _amount(text: str) -> tuple[str, str]:
    """An argument type for `TOKEN=UNITS`; the policy's reader checks the units."""
    token, sign, units = text.partition("=")
    if not (token and sign and units):
        raise argparse.ArgumentTypeError(f"{text!r} is not TOKEN=UNITS, such as SOL=1000000000")
    return token, units


def _mint(name: str, tokens: "Tokens") -> str:
    """The mint of a symbol; any other text is left to the policy's reader."""
    # A symbol of a token that is configured here. The policy keeps the mint, since symbols are not unique.
    of_symbol = {token.symbol.lower(): token.mint for token in tokens}
    return of_symbol.get(name.lower(), name)


def _file(name: str) -> dict[str, object]:
    """The JSON object in a file. Raises `StartupError`."""
    try:
        text = sys.stdin.read(LARGEST_FILE) if name == STDIN else Path(name).read_text()
        found = json.loads(text)
    except OSError as error:
        raise StartupError(f"the policy cannot be read from {name}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise StartupError(f"the policy in {name} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise StartupError(f"the policy in {name} is not a JSON object such as {{'openOrders': 10}}".replace("'", '"'))
    return found
