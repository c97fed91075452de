"""`python -m dexexec webhooks`: makes, lists, tests and removes webhooks, and sends failed deliveries again.

It needs Postgres only. Workers of a running service deliver what it plans. A new secret goes to standard output, and
notes to standard error, so that a script can take it.
"""

import argparse
import asyncio
import json
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TextIO

from dexexec.cli.keys import key_name, span
from dexexec.domain.status import Status

if TYPE_CHECKING:
    from dexexec.bootstrap.servers import Servers
    from dexexec.config.settings import Settings
    from dexexec.domain.webhook import Delivery, Webhook
    from dexexec.store import Database
    from dexexec.store.webhooks import WebhookTable

MOST_LISTED = 1_000
TEST_SECONDS = 30.0
"""How long `test` waits for a worker to try the message. A try has a time limit of 10 s by default."""
LONGEST_KEEP = timedelta(days=7)


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    webhooks = commands.add_parser(
        "webhooks",
        help="make, list, test or remove webhooks, and send failed deliveries again",
        description="Make, list, test or remove webhooks, and send failed deliveries again. docs/WEBHOOKS.md has more.",
    )
    which = webhooks.add_subparsers(dest="action", metavar="ACTION", required=True)
    add = which.add_parser(
        "add",
        help="make a webhook and print its secret, once",
        description="Make a webhook and print its secret, once.",
    )
    add.add_argument("name", metavar="NAME", type=webhook_name, help="lower-case letters, digits and -")
    add.add_argument("url", metavar="URL", help="where to send events: https://...")
    add.add_argument("--statuses", type=statuses, metavar="LIST", help="only events with these, comma-separated")
    listed = which.add_parser("list", help="list the webhooks", description="List the webhooks without their secrets.")
    failed = which.add_parser(
        "failed",
        help="list the failed deliveries of a webhook; the exit code is 1 if there are any",
        description="List the failed deliveries of a webhook, newest first. The exit code is 1 if there are any.",
    )
    _add_name(failed)
    resend = which.add_parser(
        "resend", help="send deliveries again", description="Send deliveries again that have failed or were delivered."
    )
    _add_name(resend)
    resend.add_argument("deliveries", metavar="DELIVERY", nargs="*", type=int, help="numbers, as `failed` lists them")
    resend.add_argument("--failed", action="store_true", help="all that failed")
    test = which.add_parser(
        "test",
        help="send a test message; the exit code is 1 if it is not taken",
        description="Send a test message and print the answer. The exit code is 1 if it is not taken.",
    )
    _add_name(test)
    rotate = which.add_parser(
        "rotate", help="make another secret and print it, once", description="Make another secret and print it, once."
    )
    _add_name(rotate)
    rotate.add_argument(
        "--keep",
        type=kept,
        default=timedelta(hours=24),
        metavar="TIME",
        help="how long the former secret still signs beside it, at most 7d (default: 24h)",
    )
    remove = which.add_parser(
        "remove", help="remove a webhook with its deliveries", description="Remove a webhook with its deliveries."
    )
    _add_name(remove)
    for parser in (add, listed, failed, resend, test, rotate, remove):
        parser.add_argument("--key", type=key_name, help="the name of the API key whose it is; without it, any")
        parser.add_argument("--json", action="store_true", help="print JSON")


async def run(
    options: argparse.Namespace, servers: "Servers", settings: "Settings", out: TextIO, notes: TextIO | None = None
) -> int:
    """Run the command; the exit code. Raises `StartupError` and `UnavailableError`."""
    from dexexec.bootstrap.connections import open_database  # noqa: PLC0415 - --help should not wait for it
    from dexexec.errors import RequestError, UnavailableError  # noqa: PLC0415
    from dexexec.store import halts, migrate  # noqa: PLC0415

    notes = notes or sys.stderr
    async with open_database(servers) as database:
        await migrate(database)
        owner = None
        if options.key is not None and (owner := await halts.owner_of(database, options.key)) is None:
            notes.write(f"there is no key {options.key}\n")
            return 1
        table = _table(database)
        try:
            match options.action:
                case "add":
                    return await add(options, table, settings, owner=owner, out=out, notes=notes)
                case "list":
                    return await print_list(options, table, owner, out)
            webhook = await _named(options, table, owner, notes)
            return 1 if webhook is None else await _run_on(webhook, options, table, out, notes)
        # Postgres is away: main prints that with the remedy, as for all commands.
        except UnavailableError:
            raise
        except RequestError as error:
            notes.write(f"{error.title}: {error}\n")
            return 1


async def add(
    options: argparse.Namespace,
    table: "WebhookTable",
    settings: "Settings",
    *,
    owner: int | None,
    out: TextIO,
    notes: TextIO,
) -> int:
    """Make a webhook and print its secret. Without a key it gets the events of all orders."""
    import os  # noqa: PLC0415

    from dexexec.clock import SystemClock  # noqa: PLC0415
    from dexexec.domain.uuid7 import RANDOM_BYTES, uuid7  # noqa: PLC0415
    from dexexec.domain.webhook import NewWebhook  # noqa: PLC0415
    from dexexec.webhooks.target_url import check_url  # noqa: PLC0415

    try:
        # The same check as over HTTP; the name is resolved and checked again at each try.
        check_url(options.url, private=settings.webhook_private)
    except ValueError as error:
        notes.write(f"the URL {error}\n")
        return 1
    # Random bytes of the operating system, as for API keys.
    secret = _new_secret()
    made = await table.create(
        NewWebhook(
            id=uuid7(SystemClock().unix_ms(), os.urandom(RANDOM_BYTES)),
            owner=owner,
            all_orders=owner is None,
            name=options.name,
            url=options.url,
            statuses=options.statuses or frozenset(),
            secret=secret,
        )
    )
    _print_secret(made, secret, options, out)
    whose = f"the orders of {options.key}" if options.key else "all orders"
    notes.write(f"The webhook {made.name} gets events of {whose}. Its secret is not shown again.\n")
    # Only a note: the workers may run with other settings than this command.
    if not settings.webhooks:
        notes.write("Workers with these settings deliver nothing (DEXEXEC_WEBHOOKS=false).\n")
    return 0


async def print_list(options: argparse.Namespace, table: "WebhookTable", owner: int | None, out: TextIO) -> int:
    """Print the webhooks. URLs may be secrets, so people see the hosts only."""
    from dexexec.api.webhook_json import webhook_json  # noqa: PLC0415
    from dexexec.cli.quote_table import write_aligned  # noqa: PLC0415

    # The JSON has whole URLs, for programs of the operator.
    webhooks = await table.webhooks(owner)
    if options.json:
        out.write(json.dumps([webhook_json(each) for each in webhooks], indent=2) + "\n")
        return 0
    rows = [("NAME", "HOST", "EVENTS", "STATE", "WAITING", "FAILED")]
    for each in webhooks:
        state = "disabled" if each.disabled_at else "failing" if each.failing_since else "ok"
        events = ",".join(sorted(each.statuses)) or "all"
        rows.append((each.name, each.host, events, state, str(each.waiting), str(each.failed)))
    write_aligned(rows, out)
    return 0


async def _run_on(
    webhook: "Webhook", options: argparse.Namespace, table: "WebhookTable", out: TextIO, notes: TextIO
) -> int:
    match options.action:
        case "failed":
            return await print_failed(webhook, options, table, out)
        case "resend":
            return await resend(webhook, options, table, out, notes)
        case "test":
            return await send_test(webhook, options, table, out, notes)
        case "rotate":
            # `None` as the owner: an operator may change the webhooks of all keys.
            secret = _new_secret()
            rotated = await table.rotate(webhook.id, None, secret, options.keep)
            if rotated is None:
                notes.write(f"the webhook {webhook.name} was removed meanwhile\n")
                return 1
            _print_secret(rotated, secret, options, out)
            notes.write(f"The former secret signs beside this one for {options.keep}. It is not shown again.\n")
            return 0
        case _:
            removed = await table.remove(webhook.id, None)
            notes.write(f"the webhook {webhook.name} {'is removed' if removed else 'was removed before'}\n")
            if options.json:
                out.write(json.dumps({"name": webhook.name, "removed": removed}) + "\n")
            return 0


async def print_failed(webhook: "Webhook", options: argparse.Namespace, table: "WebhookTable", out: TextIO) -> int:
    """Print the failed deliveries. Returns 1 if there are any."""
    from dexexec.api.webhook_json import delivery_json  # noqa: PLC0415
    from dexexec.cli.quote_table import write_aligned  # noqa: PLC0415
    from dexexec.domain.webhook import DeliveryState  # noqa: PLC0415

    failed = await table.deliveries(webhook.id, None, DeliveryState.FAILED, MOST_LISTED, None) or []
    if options.json:
        out.write(json.dumps([delivery_json(each) for each in failed], indent=2) + "\n")
    elif failed:
        rows = [("DELIVERY", "EVENT", "ORDER", "SEQ", "TRIES", "GIVEN UP", "LAST ANSWER")]
        rows += [
            (
                str(each.id),
                each.type,
                str(each.order_id),
                str(each.seq),
                str(each.tries),
                f"{each.ended_at:%Y-%m-%d %H:%M:%S}" if each.ended_at else "",
                each.answer,
            )
            for each in failed
        ]
        write_aligned(rows, out)
    # As `dead-letters`: a check in cron needs no parsing.
    return 1 if failed else 0


async def resend(
    webhook: "Webhook", options: argparse.Namespace, table: "WebhookTable", out: TextIO, notes: TextIO
) -> int:
    """Let deliveries wait again. Returns 1 if none of them could."""
    # Neither is a mistake that would send nothing, and both name two different sets.
    if bool(options.deliveries) == options.failed:
        notes.write("name the deliveries by their numbers, or --failed for all that failed\n")
        return 2
    count = await table.resend(webhook.id, None, None if options.failed else options.deliveries) or 0
    if options.json:
        out.write(json.dumps({"resent": count}) + "\n")
    notes.write(f"{count} {'delivery is' if count == 1 else 'deliveries are'} sent again\n")
    return 0 if count else 1


async def send_test(
    webhook: "Webhook", options: argparse.Namespace, table: "WebhookTable", out: TextIO, notes: TextIO
) -> int:
    """Send a test message and wait for its end. Returns 1 if the target did not take it."""
    from dexexec.api.webhook_json import delivery_json  # noqa: PLC0415
    from dexexec.domain.webhook import DeliveryState  # noqa: PLC0415

    planned = await table.send_test(webhook.id, None)
    if planned is None:
        notes.write(f"the webhook {webhook.name} was removed meanwhile\n")
        return 1
    delivery: Delivery | None = planned
    try:
        async with asyncio.timeout(TEST_SECONDS):
            # Polled: the worker that tries it is another process.
            while delivery is not None and delivery.state is DeliveryState.WAITING:
                await asyncio.sleep(0.2)
                delivery = await table.delivery(planned.id, None)
    except TimeoutError:
        notes.write(f"no worker has sent it within {TEST_SECONDS:.0f} s: does one run, with DEXEXEC_WEBHOOKS?\n")
    if options.json:
        out.write(json.dumps(None if delivery is None else delivery_json(delivery), indent=2) + "\n")
    delivered = delivery is not None and delivery.state is DeliveryState.DELIVERED
    if delivery is not None and delivery.state is not DeliveryState.WAITING:
        notes.write(f"{'taken' if delivered else 'not taken'}: {delivery.answer}\n")
    return 0 if delivered else 1


async def _named(
    options: argparse.Namespace, table: "WebhookTable", owner: int | None, notes: TextIO
) -> "Webhook | None":
    found = await table.named(options.name, owner)
    if len(found) == 1:
        return found[0]
    # Never the first of several: `remove` would take the webhook of another key.
    notes.write(
        f"several keys have a webhook {options.name}: name the key with --key\n"
        if found
        else f"there is no webhook {options.name}\n"
    )
    return None


def webhook_name(text: str) -> str:
    """A webhook's name on the command line. Raises `argparse.ArgumentTypeError`."""
    from dexexec.domain.webhook import check_name  # noqa: PLC0415

    try:
        return check_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"the name {error}") from None


def statuses(text: str) -> frozenset[Status]:
    """Statuses on the command line. Raises `argparse.ArgumentTypeError`."""
    known = {status.value: status for status in Status}
    names = [part.strip() for part in text.split(",")]
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"{name!r} is not a status: it must be one or more of {', '.join(known)}")
    return frozenset(known[name] for name in names)


def kept(text: str) -> timedelta:
    """How long a former secret signs. Raises `argparse.ArgumentTypeError`."""
    found = span(text)
    if found > LONGEST_KEEP:
        raise argparse.ArgumentTypeError("a former secret signs for at most 7d")
    return found


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", type=webhook_name, help="the webhook's name")


def _table(database: "Database") -> "WebhookTable":
    import os  # noqa: PLC0415

    from dexexec.clock import SystemClock  # noqa: PLC0415
    from dexexec.domain.uuid7 import RANDOM_BYTES, uuid7  # noqa: PLC0415
    from dexexec.store import EventReader, Store  # noqa: PLC0415
    from dexexec.store.webhooks import WebhookTable  # noqa: PLC0415

    clock = SystemClock()
    return WebhookTable(
        database,
        EventReader(database),
        Store(database, lambda _: None, clock),
        new_id=lambda: uuid7(clock.unix_ms(), os.urandom(RANDOM_BYTES)),
        clock=clock,
    )


def _new_secret() -> str:
    import os  # noqa: PLC0415

    from dexexec.webhooks.signing import SECRET_BYTES, new_secret  # noqa: PLC0415

    return new_secret(os.urandom(SECRET_BYTES))


def _print_secret(webhook: "Webhook", secret: str, options: argparse.Namespace, out: TextIO) -> None:
    from dexexec.api.webhook_json import webhook_json  # noqa: PLC0415

    out.write((json.dumps({**webhook_json(webhook), "secret": secret}) if options.json else secret) + "\n")
    out.flush()
