"""The settings of a signing service: the library's own fields, secrets by reference, and no service that sends."""

from pathlib import Path
from typing import Any

import pytest
from solana_keychain import SUPPORTED_BACKENDS

from dexexec.settlement.solana.keychain_config import REFUSED, KeychainConfigError, config_class, read_config

ADDRESS = "4BuiY9QUUfPoAGNJBja3JapAuVWMc9c7in6UCgyC2zPR"
LIBRARY_OF_GOOGLE = "gcp-kms"
VAULT = {"api_base_url": "https://vault.example", "key_name": "desk"}


def refused(backend: str, table: dict[str, object]) -> str:
    with pytest.raises(KeychainConfigError) as caught:
        read_config(backend, ADDRESS, table, http_client=None, client=None)
    return str(caught.value)


@pytest.fixture
def secret(tmp_path: Path) -> str:
    (tmp_path / "secret").write_text(" hidden\n")
    return f"file:{tmp_path / 'secret'}"


def test_the_fields_are_the_librarys_and_the_address_is_the_wallets(secret: str) -> None:
    config = read_config("vault", ADDRESS, {**VAULT, "token": secret}, http_client="client", client=None)
    assert (config.public_key, config.key_name, config.token) == (ADDRESS, "desk", "hidden")
    assert config.http_client == "client"
    config = read_config("aws-kms", ADDRESS, {"key_id": "key"}, http_client="unused")
    assert (config.key_id, config.public_key, config.region) == ("key", ADDRESS, None)


def test_a_secret_may_be_in_a_variable_and_a_nested_one_too(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESK_SECRET", "from a variable")
    table: dict[str, object] = {
        "app_id": "app",
        "app_secret": "env:DESK_SECRET",
        "wallet_id": "wallet",
        "authorization_context": {"authorization_private_keys": [secret]},
        "authorization_request_expiry_ms": 60_000,
    }
    config = read_config("privy", ADDRESS, table)
    assert config.app_secret == "from a variable"  # noqa: S105 - of a test
    assert config.authorization_context.authorization_private_keys == ["hidden"]


@pytest.mark.parametrize("backend", sorted(set(SUPPORTED_BACKENDS) - set(REFUSED) - {LIBRARY_OF_GOOGLE}))
def test_every_service_of_the_library_has_a_configuration(backend: str) -> None:
    assert config_class(backend).__name__.endswith("SignerConfig")
    assert "must be set" in refused(backend, {})


def test_a_service_whose_own_library_is_missing_names_it() -> None:
    assert "pip install 'solana-keychain[gcp-kms]'" in refused(LIBRARY_OF_GOOGLE, {})


HIDDEN = "hvs.CAESIJ"


@pytest.mark.parametrize(
    ("backend", "table", "words"),
    [
        ("vualt", {}, "did you mean vault?"),
        ("crossmint", {}, "it sends the transactions that it signs"),
        ("memory", {}, "use `key` for that"),
        ("fireblocks", {"use_program_call": True}, "use_program_call cannot be set"),
        ("fordefi", {"chain": "solana_mainnet"}, "chain cannot be set"),
        ("fordefi", {"push_mode": "auto"}, "push_mode cannot be set"),
        ("vault", {**VAULT, "token": HIDDEN}, "token: it must be file:PATH"),
        ("vault", {**VAULT, "token": "env:NOT_SET_ANYWHERE"}, "token: its secret is empty or not set"),
        ("vault", {**VAULT, "token": "file:/nowhere/at/all"}, "token: its secret's file cannot be read"),
        ("vault", {**VAULT, "tokn": HIDDEN}, "did you mean token?"),
        ("vault", {**VAULT, "public_key": ADDRESS}, "leave it out"),
        ("vault", {**VAULT, "http_client": "x"}, "http_client is not a field"),
        ("vault", {"key_name": 7}, "key_name has another type"),
        ("fireblocks", {"poll_interval_ms": True}, "poll_interval_ms has another type"),
        ("vault", {"key_name": "desk"}, "api_base_url and token must be set"),
        ("privy", {"authorization_context": {"signatures": [HIDDEN]}}, "signatures: it must be file:PATH"),
    ],
)
def test_promise_14_what_cannot_be_used_is_refused_with_the_field_and_without_the_value(
    backend: str, table: dict[str, Any], words: str
) -> None:
    text = refused(backend, table)
    assert words in text
    assert HIDDEN not in text
