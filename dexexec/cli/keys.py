"""`python -m dexexec keys`: makes, lists, revokes and rotates the API keys of clients.

It needs Postgres only, and works before the first start. Running services notice a change within a second. The key
itself goes to standard output, everything else to standard error, so that a script can take it.
"""

import argparse
import json
import re
import sys
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TextIO

from dexexec.cli import key_policy
from dexexec.domain.api_key import Scope

if TYPE_CHECKING:
    from dexexec.bootstrap.servers import Servers
    from dexexec.config.settings import Settings
    from dexexec.domain.api_token import ApiToken
    from dexexec.store import Database
    from dexexec.store.api_keys import ListedKey

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SPAN = re.compile(r"(?P<number>[0-9]{1,5})(?P<unit>[smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LONGEST = timedelta(days=36_500)


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    keys = commands.add_parser(
        "keys",
        help="make, list, revoke or rotate API keys",
        description="Make, list, revoke or rotate the API keys of clients. Running services notice it within a second.",
    )
    which = keys.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = which.add_parser(
        "create", help="make a key and print it, once", description="Make a key and print it. It is shown only once."
    )
    create.add_argument("name", metavar="NAME", type=key_name, help="whose key it is; for the list and the log")
    create.add_argument(
        "--scope",
        type=scopes,
        required=True,
        metavar="SCOPES",
        help="what it allows, comma-separated: read, trade (with read), admin (both, for the orders of all keys)",
    )
    create.add_argument("--expires", type=span, metavar="TIME", help="how long it is valid, such as 90d or 12h")
    key_policy.add_options(create, file_option="--policy")
    listed = which.add_parser(
        "list", help="list the keys, and when each was last used", description="List the keys without their secrets."
    )
    listed.add_argument("--all", action="store_true", help="also those that are revoked")
    revoke = which.add_parser(
        "revoke",
        help="end a key for good",
        description="End a key for good. Its open WebSockets are closed, and its orders go on.",
    )
    revoke.add_argument("name", metavar="NAME", type=key_name, help="the key's name")
    rotate = which.add_parser(
        "rotate",
        help="give a key another secret and print it, once",
        description="Give a key another secret and print it. The former one works for a while longer, so that clients"
        " can be changed one after another.",
    )
    rotate.add_argument("name", metavar="NAME", type=key_name, help="the key's name")
    rotate.add_argument(
        "--keep",
        type=span,
        default=timedelta(hours=24),
        metavar="TIME",
        help="how long the former secret still works, such as 24h; 0s: not at all (default: 24h)",
    )
    rotate.add_argument("--expires", type=span, metavar="TIME", help="how long the key is valid from now on")
    policy = key_policy.add_policy_parser(which, key_name)
    for parser in (create, listed, revoke, rotate, policy):
        parser.add_argument("--json", action="store_true", help="print JSON")


async def run(
    options: argparse.Namespace, servers: "Servers", settings: "Settings", out: TextIO, notes: TextIO | None = None
) -> int:
    """Run the command; the exit code. Raises `StartupError` and `UnavailableError`."""
    from dexexec.bootstrap.connections import open_database  # noqa: PLC0415 - --help should not wait for it
    from dexexec.store import migrate  # noqa: PLC0415

    notes = notes or sys.stderr
    async with open_database(servers) as database:
        await migrate(database)
        match options.action:
            case "create":
                return await create(options, database, settings, out, notes)
            case "list":
                return await print_list(options, database, out)
            case "revoke":
                return await revoke(options, database, out, notes)
            case "policy":
                return await key_policy.run(options, database, settings.token_list(), out, notes)
            case _:
                return await rotate(options, database, out, notes)


async def create(
    options: argparse.Namespace, database: "Database", settings: "Settings", out: TextIO, notes: TextIO
) -> int:
    """Make a key and print it."""
    from dexexec.config.access import keys_required  # noqa: PLC0415
    from dexexec.store.api_keys import create_key  # noqa: PLC0415

    token = _new_token()
    policy = key_policy.chosen_policy(options, settings.token_list(), {})
    key = await create_key(database, options.name, options.scope, options.expires, token, policy=policy)
    names = _scope_names(key.scopes)
    about: dict[str, object] = {"name": key.name, "scopes": names, "expiresAt": _time(key.expires_at)}
    _print_token(token, about, options, out)
    until = f"until {key.expires_at:%Y-%m-%d %H:%M:%S} UTC" if key.expires_at else "until it is revoked"
    notes.write(f"The key {key.name} ({', '.join(names)}) is valid {until}. It is not shown again.\n")
    if not keys_required(settings):
        notes.write("The service requires no keys with these settings: set DEXEXEC_REQUIRE_KEYS=1 to require them.\n")
    return 0


async def revoke(options: argparse.Namespace, database: "Database", out: TextIO, notes: TextIO) -> int:
    """End a key. Returns 1 if no key has that name."""
    from dexexec.store.api_keys import revoke_key  # noqa: PLC0415

    revoked = await revoke_key(database, options.name)
    if options.json:
        out.write(json.dumps({"name": options.name, "revoked": revoked}) + "\n")
    notes.write(f"the key {options.name} is revoked\n" if revoked else f"there is no valid key {options.name}\n")
    return 0 if revoked else 1


async def rotate(options: argparse.Namespace, database: "Database", out: TextIO, notes: TextIO) -> int:
    """Print another secret of a key. Returns 1 if no key has that name."""
    from dexexec.store.api_keys import rotate_key  # noqa: PLC0415

    token = _new_token()
    if not await rotate_key(database, options.name, token, keep=options.keep, expires_in=options.expires):
        notes.write(f"there is no key {options.name}\n")
        return 1
    _print_token(token, {"name": options.name, "keptSeconds": round(options.keep.total_seconds())}, options, out)
    notes.write(f"The former secret of {options.name} works for {options.keep} longer. This one is not shown again.\n")
    return 0


async def print_list(options: argparse.Namespace, database: "Database", out: TextIO) -> int:
    """Print the keys."""
    from dexexec.store.api_keys import list_keys  # noqa: PLC0415

    keys = [listed for listed in await list_keys(database) if options.all or listed.key.revoked_at is None]
    if options.json:
        out.write(json.dumps([_as_json(listed) for listed in keys], indent=2) + "\n")
        return 0
    rows = [("NAME", "SCOPES", "STATE", "CREATED", "EXPIRES", "LAST USED", "SECRET")]
    for listed in keys:
        for secret in listed.secrets:
            ends = min((at for at in (secret.expires_at, listed.key.expires_at) if at), default=None)
            rows.append(
                (
                    listed.key.name,
                    ",".join(_scope_names(listed.key.scopes)),
                    "revoked" if listed.key.revoked_at else "valid" if secret.valid else "expired",
                    f"{secret.created_at:%Y-%m-%d %H:%M}",
                    f"{ends:%Y-%m-%d %H:%M}" if ends else "never",
                    f"{secret.last_used_at:%Y-%m-%d %H:%M}" if secret.last_used_at else "never",
                    f"dx_{secret.id}_...",
                )
            )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        out.write("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")
    return 0


def key_name(text: str) -> str:
    """A key's name on the command line. Raises `argparse.ArgumentTypeError`."""
    if not _NAME.fullmatch(text):
        # Not repeated: a key may have been typed in place of its name.
        raise argparse.ArgumentTypeError("a name has 1 to 64 letters, digits and . _ -, and no sign first")
    return text


def scopes(text: str) -> tuple[Scope, ...]:
    """Scopes on the command line. Raises `argparse.ArgumentTypeError`."""
    names = [part.strip() for part in text.split(",")]
    known = {scope.value: scope for scope in Scope}
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"{name!r} is not a scope: it must be one or more of {', '.join(known)}")
    return tuple(scope for scope in Scope if scope.value in names)


def span(text: str) -> timedelta:
    """A time span on the command line. Raises `argparse.ArgumentTypeError`."""
    match = _SPAN.fullmatch(text)
    found = timedelta(**{_UNITS[match["unit"]]: int(match["number"])}) if match else None
    if found is None or found > _LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: a number with s, m, h, d or w, such as 90d")
    return found


def _new_token() -> "ApiToken":
    import secrets  # noqa: PLC0415

    from dexexec.domain.api_token import ID_BYTES, SECRET_BYTES, new_token  # noqa: PLC0415

    return new_token(secrets.token_bytes(ID_BYTES + SECRET_BYTES))


def _print_token(token: "ApiToken", about: dict[str, object], options: argparse.Namespace, out: TextIO) -> None:
    out.write((json.dumps({**about, "token": token.text()}) if options.json else token.text()) + "\n")
    out.flush()


def _as_json(listed: "ListedKey") -> dict[str, object]:
    key = listed.key
    return {
        "name": key.name,
        "scopes": _scope_names(key.scopes),
        "createdAt": _time(key.created_at),
        "expiresAt": _time(key.expires_at),
        "revokedAt": _time(key.revoked_at),
        "lastUsedAt": _time(max((at for s in listed.secrets if (at := s.last_used_at)), default=None)),
        "secrets": [
            {
                "id": secret.id,
                "createdAt": _time(secret.created_at),
                "expiresAt": _time(secret.expires_at),
                "lastUsedAt": _time(secret.last_used_at),
                "valid": secret.valid,
            }
            for secret in listed.secrets
        ],
    }


def _scope_names(of: "frozenset[Scope]") -> list[str]:
    return [scope.value for scope in Scope if scope in of]


def _time(at: datetime | None) -> str | None:
    from dexexec.domain.event import timestamp  # noqa: PLC0415

    return timestamp(at) if at else None
