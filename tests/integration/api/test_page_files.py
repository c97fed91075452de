"""The page's files over HTTP: what is served, to whom, and what a browser may do with it."""

import re
from pathlib import Path

import pytest

from dexexec.api.page_files import FOLDER, POLICY, TYPES, page_files
from dexexec.clock import SystemClock
from tests.support.fakes.keys import MemoryKeys
from tests.support.running_api import Service, document, running_service

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


async def test_every_file_of_the_page_is_served_with_its_type_and_validated_each_time() -> None:
    async with running_service() as service:
        assert "main.js" in page_files()
        for name, file in page_files().items():
            answer = await service.ask("GET", f"/assets/{name}")
            assert (answer.code, answer.body) == (200, file.body)
            assert answer.headers["Content-Type"] == TYPES[Path(name).suffix]
            assert answer.headers["Cache-Control"] == "no-cache"
            again = await service.ask("GET", f"/assets/{name}", None, {"If-None-Match": answer.headers["Etag"]})
            assert (again.code, again.body) == (304, b"")


async def test_the_policy_of_the_page_allows_nothing_inline() -> None:
    async with running_service() as service:
        page = await service.ask("GET", "/", None, BROWSER)
        assert page.headers["Content-Security-Policy"] == POLICY
        assert "unsafe" not in POLICY


def test_no_file_names_another_host_or_has_inline_code() -> None:
    for path in FOLDER.glob("*.html"):
        text = path.read_text()
        assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", text), path
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", text), path
    for path in FOLDER.glob("*.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", path.read_text()), path


@pytest.mark.parametrize(
    "name",
    ["", "none.js", "../app.py", "%2e%2e/app.py", "vendor/uplot/LICENSE", "vendor", "vendor/../../app.py"],
)
async def test_nothing_else_is_served(name: str) -> None:
    async with running_service() as service:
        document(await service.ask("GET", f"/assets/{name}"), 404, "not-found")


async def test_the_page_is_shown_before_a_key_and_the_links_are_not() -> None:
    keys = MemoryKeys(SystemClock())
    token = keys.create("desk")
    async with running_service(keys=keys) as service:
        page = await service.ask("GET", "/", None, BROWSER)
        assert (page.code, b'data-keys="required"' in page.body) == (200, True)
        assert (await service.ask("GET", "/assets/main.js")).code == 200
        document(await service.ask("GET", "/"), 401, "unauthorized")
        document(await service.ask("GET", f"/?key={token}", None, BROWSER), 400, "key-in-url")


async def test_a_page_that_strangers_could_trade_with_is_refused_and_names_the_settings() -> None:
    async with running_service(allowed_hosts="dex.example", require_keys=False) as service:
        await refused(service, "/")
        await refused(service, "/assets/main.js")
        assert (await service.ask("GET", "/")).code == 200


async def refused(service: Service, path: str) -> None:
    detail = document(await service.ask("GET", path, None, BROWSER), 403, "page-refused")["detail"]
    assert "DEXEXEC_ALLOWED_HOSTS" in detail
    assert "DEXEXEC_REQUIRE_KEYS" in detail


async def test_a_page_that_is_turned_off_is_json_for_all() -> None:
    async with running_service(page=False) as service:
        answer = await service.ask("GET", "/", None, BROWSER)
        assert answer.headers["Content-Type"] == "application/json"
        document(await service.ask("GET", "/assets/main.js"), 404, "not-found")
