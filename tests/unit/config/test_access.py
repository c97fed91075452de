"""When each request needs an API key: as soon as more than this machine may reach the service."""

import pytest

from dexexec.config.access import exposed_by, keys_required
from dexexec.config.settings import Settings


def settings(**given: object) -> Settings:
    return Settings(_env_file=None, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "exposed"),
    [
        ({}, ""),
        ({"host": "localhost"}, ""),
        ({"host": "::1"}, ""),
        ({"host": "127.9.9.9"}, ""),
        ({"host": "::ffff:127.0.0.1"}, ""),
        ({"allowed_hosts": "localhost:8080,dex.localhost,[::1]:3000"}, ""),
        ({"host": "0.0.0.0"}, "DEXEXEC_HOST"),  # noqa: S104
        ({"host": "::"}, "DEXEXEC_HOST"),
        ({"host": ""}, "DEXEXEC_HOST"),
        ({"host": "10.0.0.7"}, "DEXEXEC_HOST"),
        ({"host": "dex.internal"}, "DEXEXEC_HOST"),
        ({"trust_proxy": True}, "DEXEXEC_TRUST_PROXY or DEXEXEC_TRUSTED_PROXIES"),
        ({"trusted_proxies": "127.0.0.1"}, "DEXEXEC_TRUST_PROXY or DEXEXEC_TRUSTED_PROXIES"),
        ({"allowed_hosts": "dex.example"}, "DEXEXEC_ALLOWED_HOSTS"),
        ({"allowed_hosts": "localhost,*.dex.example"}, "DEXEXEC_ALLOWED_HOSTS"),
        ({"allowed_hosts": "*"}, "DEXEXEC_ALLOWED_HOSTS"),
    ],
)
def test_promise_18_keys_are_required_unless_only_this_machine_can_reach_the_service(
    given: dict[str, object], exposed: str
) -> None:
    assert exposed_by(settings(**given)) == exposed
    assert keys_required(settings(**given)) is bool(exposed)
    assert keys_required(settings(require_keys=True, **given))
    assert not keys_required(settings(require_keys=False, **given))


@pytest.mark.parametrize(("value", "required"), [("1", True), ("true", True), ("0", False), ("false", False)])
def test_the_setting_decides_where_it_is_set(value: str, required: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEXEXEC_REQUIRE_KEYS", value)
    assert keys_required(settings()) is required
    assert keys_required(settings(host="10.0.0.7")) is required


def test_an_open_service_that_the_network_reaches_is_warned_about_by_the_setting_that_opens_it() -> None:
    for given, name in (({"host": "::"}, "DEXEXEC_HOST"), ({"trust_proxy": True}, "DEXEXEC_TRUST_PROXY")):
        [warning] = [
            line for line in settings(require_keys=False, **given).warnings() if "DEXEXEC_REQUIRE_KEYS" in line
        ]
        assert name in warning
        assert not [line for line in settings(**given).warnings() if "DEXEXEC_REQUIRE_KEYS" in line]
