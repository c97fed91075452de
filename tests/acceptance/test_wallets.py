"""Orders of a named wallet, also while the service has no such wallet: they wait, and swap once when it is back."""

import asyncio
import json
from pathlib import Path

from dexexec.store import Address
from tests.support.service.client import Http, http, watching
from tests.support.service.process import Launcher
from tests.support.service.promise_checks import check_promises
from tests.support.waiting import until

ORDERS = 12


def named(folder: Path, *names: str) -> dict[str, str]:
    """The setting for a file with these wallets. The simulated chain needs no key."""
    path = folder / f"{'-'.join(names)}.toml"
    path.write_text("\n".join(f'[{name}]\nkey = "file:/no/key/is/read"\n' for name in names))
    return {"DEXEXEC_WALLETS": str(path)}


async def waits_or_ended(calls: Http, url: str, order_id: str) -> bool:
    """Whether the order has ended, or waits for its signer."""
    order = (await calls.get(f"{url}/api/orders/{order_id}")).body
    waiting = order["waitingFor"]
    return order["finishedAt"] is not None or (isinstance(waiting, dict) and waiting["reason"] == "signer")


async def test_promise_3_orders_of_a_wallet_that_is_gone_for_a_while_swap_once(
    launcher: Launcher, database_address: Address, tmp_path: Path
) -> None:
    both = named(tmp_path, "desk-1", "desk-2")
    async with http() as calls, asyncio.timeout(100):
        first = launcher.start(DEXEXEC_CONCURRENCY="1", **both)
        url = await asyncio.to_thread(lambda: first.url)
        body = {"side": "buy", "amount": "0.01", "deadlineSeconds": 600, "wallet": "desk-2"}
        refused = await calls.post(url, {**body, "wallet": "desk-3"})
        assert refused.status == 422
        assert json.dumps(refused.body).count("one of default, desk-1, desk-2") == 1
        answers = [await calls.post(url, body) for _ in range(ORDERS)]
        assert {answer.status for answer in answers} == {202}
        order_ids = [str(answer.body["orderId"]) for answer in answers]
        first.kill()
        # Those that were signed are settled, which needs no key. The others must not be paid by another wallet.
        second = launcher.start(**named(tmp_path, "desk-1"))
        url = await asyncio.to_thread(lambda: second.url)
        for order_id in order_ids:
            await until(lambda order_id=order_id: waits_or_ended(calls, url, order_id), pause=0.05)  # type: ignore[misc]
        second.kill()
        third = launcher.start(**both)
        url = await asyncio.to_thread(lambda: third.url)
        async with watching(lambda: url, order_ids):
            pass
        order = (await calls.get(f"{url}/api/orders/{order_ids[0]}")).body
        assert order["wallet"] == "desk-2"
    assert check_promises(database_address, order_ids).statuses == {"confirmed": ORDERS}
