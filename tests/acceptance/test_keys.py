"""Promise 18 on the running program: a start that lets strangers in is refused, and keys are made before the first."""

import asyncio
import json
from pathlib import Path

from tests.support.raw_http import Exchange, exchange
from tests.support.service.command_line import refuses
from tests.support.service.process import QUICK, Launcher
from tests.support.waiting import wait_until

EXPOSED = {"DEXEXEC_HOST": "0.0.0.0"}  # noqa: S104
ORDER = b'{"side": "buy", "amount": "0.01"}'


def request(url: str, token: str = "", body: bytes = b"") -> Exchange:
    """A post if there is a body."""
    sent = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    return asyncio.run(exchange(url, "POST" if body else "GET", body, sent))


def test_promise_18_a_start_that_the_network_can_reach_is_refused_without_keys_and_names_the_command(
    launcher: Launcher,
) -> None:
    refuses(launcher.start(**EXPOSED), "DEXEXEC_HOST", "keys create NAME --scope trade", "DEXEXEC_REQUIRE_KEYS=0")
    refuses(launcher.start("api", DEXEXEC_REQUIRE_KEYS="1"), "DEXEXEC_REQUIRE_KEYS", "keys create NAME --scope trade")
    worker = launcher.start("worker", **EXPOSED)
    worker.logged("worker started")
    assert worker.stop() == 0


def test_promise_18_a_key_that_was_made_before_the_first_start_trades_and_a_stranger_does_not(data_dir: Path) -> None:
    with Launcher(DEXEXEC_DATA_DIR=str(data_dir), **QUICK, **EXPOSED) as launcher:
        made = launcher.start("keys", "create", "desk", "--scope", "trade", "--json")
        assert made.wait() == 0
        token = json.loads(made.out)["token"]
        assert token not in made.err
        service = launcher.start()
        banner = service.banner()
        assert "every request needs an API key" in banner
        assert "$DEXEXEC_API_KEY" in banner
        orders = f"{service.url}/api/orders"
        wait_until(lambda: request(f"{service.url}/readyz", token).status == 200, 20, "/readyz to answer 200")
        posted = request(f"{orders}/execute", token, ORDER)
        assert posted.status == 202
        path = f"{orders}/{json.loads(posted.body)['orderId']}"
        assert request(path, token).status == 200
        for refused in (request(path), request(f"{orders}/execute", body=ORDER), request(f"{service.url}/")):
            assert (refused.status, json.loads(refused.body)["type"]) == (401, "/problems/unauthorized")
        wait_until(lambda: "lastUsedAt" in used(launcher), 20, "the key's last use")
        assert launcher.start("keys", "revoke", "desk").wait() == 0
        wait_until(lambda: request(path, token).status == 401, 20, "the revoked key to be refused")
        assert service.stop() == 0
        assert token not in service.err


def used(launcher: Launcher) -> dict[str, object]:
    """The key's members that are set, as the command lists them."""
    listed = launcher.start("keys", "list", "--json")
    assert listed.wait() == 0
    [key] = json.loads(listed.out)
    return {name: value for name, value in key.items() if value is not None}
