"""With a log that no program reads, the service serves, trades and stops as usual."""

import json
import sys
from contextlib import closing
from http.client import HTTPConnection

from dexexec.api.app import EXECUTE
from dexexec.store import Address
from tests.conftest import Servers
from tests.support.service.process import QUICK, Launcher, servers_at, status
from tests.support.service.promise_checks import rows
from tests.support.waiting import wait_until

FULL_PIPE = """
import os, sys
read_end, write_end = os.pipe()
os.set_blocking(write_end, False)
try:
    while True:
        os.write(write_end, bytes(1024))
except BlockingIOError:
    pass
os.set_blocking(write_end, True)
os.set_inheritable(read_end, True)
os.dup2(write_end, 2)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Runs a command whose standard error is a full pipe. The command itself holds the reading end, and never reads."""


def test_a_log_without_a_reader_stops_neither_the_service_nor_its_exit(
    servers: Servers, database_address: Address, redis_prefix: str
) -> None:
    with Launcher(**QUICK) as launcher:
        launcher.prefix = (sys.executable, "-c", FULL_PIPE)
        process = launcher.start(**servers_at(database_address, servers.redis_url, redis_prefix))
        process.ready()
        for _ in range(20):
            assert post(process.url, b'{"side": "hold"}')[0] == 422
        assert status(f"{process.url}/healthz") == 200
        code, body = post(process.url, b'{"side": "buy", "amount": "0.01"}')
        assert code == 202
        [order_id] = json.loads(body).values()
        query = "SELECT FROM orders WHERE id = %s AND status = 'confirmed'"
        wait_until(lambda: rows(database_address, query, [order_id]), 20, "the order to be confirmed")
        assert process.stop() == 0


def post(url: str, body: bytes) -> tuple[int, bytes]:
    with closing(HTTPConnection(url.removeprefix("http://"), timeout=20)) as connection:
        connection.request("POST", EXECUTE, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
