"""The banner that is printed when the service is ready: addresses, enabled venues, and a first order to paste."""

import shlex
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from dexexec import __version__
from dexexec.bootstrap.servers import Servers
from dexexec.config.access import exposed_by, keys_required
from dexexec.config.settings import Settings

DEMO_DEFAULT = "http://127.0.0.1:3000"
"""Where the demo posts without `--url`."""


def banner(settings: Settings, servers: Servers, url: str, localnet: str | None = None) -> str:
    """The text of the banner. It shows addresses without users and passwords. `localnet` is the URL of a localnet that
    was started with the service."""
    places = {
        name: f"{place}{' (embedded)' if name in servers.embedded else ''}" for name, place in servers.places().items()
    }
    required = keys_required(settings)
    # Not where it is refused: without keys on an address that others reach.
    page = {"Page": f"{url}/"} if settings.page and (required or not exposed_by(settings)) else {}
    lines = {
        **page,
        "Orders": f"POST {url}/api/orders/execute",
        "Stream": f"{urlsplit(url)._replace(scheme='wss' if settings.tls_cert else 'ws').geturl()}/api/orders/execute",
        "Health": f"{url}/readyz",
        "Venues": ", ".join(settings.adapters),
        **places,
    }
    if required:
        lines["Keys"] = "every request needs an API key: dexexec keys list"
    elif exposed := exposed_by(settings):
        lines["Keys"] = f"none needed (DEXEXEC_REQUIRE_KEYS=0), and {exposed} lets the network reach the service"
    if settings.dry_run:
        lines["Dry run"] = "every order is simulated, and nothing is signed or sent"
    if localnet:  # only one that was started with the service; a configured one is in the settings
        lines["Localnet"] = f"{localnet} (embedded)"
    if servers.embedded:
        lines["Data"] = str(settings.data_folder())
    width = max(map(len, lines))
    key = """ -H "Authorization: Bearer $DEXEXEC_API_KEY\"""" if required else ""
    curl = (
        f"curl -s {url}/api/orders/execute{key} -H 'Content-Type: application/json'"
        """ -d '{"side": "buy", "amount": "0.01"}'"""
    )
    demo = f"{dexexec_command()} demo --orders 10" + ("" if url == DEMO_DEFAULT else f" --url {url}")
    table = "\n".join(f"  {name:<{width}}  {value}" for name, value in lines.items())
    return (
        f"\ndexexec {__version__} is ready\n\n{table}\n\n  A first order:\n\n    {curl}\n\n"
        f"  Ten orders, watched live:\n\n    {demo}\n\n  Ctrl-C drains and stops.\n"
    )


def dexexec_command() -> str:
    """How to run another command of this installation in a second terminal, in the same folder."""
    script = Path(sys.executable).with_name("dexexec")
    if not script.is_file():
        return f"{shlex.quote(sys.executable)} -m dexexec"
    # PATH is not searched: `uv run` and an active venv have changed it for this terminal alone.
    with suppress(OSError, ValueError):  # the folder was removed, or the script is not below it
        script = script.relative_to(Path.cwd())
    return shlex.quote(str(script))
