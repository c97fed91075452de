"""The search for secrets finds each form of them, and nothing else."""

import base64
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest

from dexexec.domain import base58
from tests.support.canary import Canary, canaries_of, leaks

SECRET = "k7Q/+x~9=Zé\"w'2_canary Lt5#Jv8"  # noqa: S105 - made up
KEY = bytes(range(100, 164))


@pytest.mark.parametrize(
    "write",
    [
        str,
        str.lower,
        lambda secret: quote(secret, safe=""),
        lambda secret: json.dumps({"a": secret}),
        repr,
        lambda secret: secret.encode().hex(),
        lambda secret: secret.encode().hex().upper(),
        lambda secret: base64.b64encode(secret.encode()).decode(),
        lambda secret: base64.b64encode(f"user:{secret}".encode()).decode(),
        lambda secret: base64.urlsafe_b64encode(f"ab{secret}cd".encode()).decode(),
        lambda secret: secret[3:24],
    ],
)
def test_a_text_is_found_in_every_form(write: Callable[[str], str]) -> None:
    assert leaks([Canary.of_text("it", SECRET)], "a log", f"before {write(SECRET)} after")


@pytest.mark.parametrize(
    "write",
    [
        base58.encode,
        lambda key: base58.encode(key[:32]),
        lambda key: str(list(key)),
        lambda key: json.dumps(list(key), separators=(",", ":")),
        repr,
        lambda key: f"\\x{key.hex()}",
        lambda key: base64.b64encode(key).decode(),
        lambda key: base64.b64encode(b"x" + key[:32]).decode(),
    ],
)
def test_a_key_is_found_in_every_form(write: Callable[[bytes], str]) -> None:
    assert leaks([Canary.of_key("it", KEY)], "a log", f"before {write(KEY)} after")


@pytest.mark.parametrize("text", ["", "nothing", base58.encode(KEY[32:]), "canary Lt5", SECRET[:10]])
def test_what_is_public_or_short_is_no_leak(text: str) -> None:
    assert leaks([Canary.of_text("it", SECRET), Canary.of_key("key", KEY)], "a log", text) == []


def test_the_secrets_of_a_process_are_those_of_its_settings() -> None:
    environment = {
        "PG_PASSWORD": "a-long-password-1",
        "REDIS_URL": "redis://me:a-long-password-2@h/0",
        "SOLANA_RPC_URL": "https://a.example,https://b.example/?api-key=a-long-password-3",
        "SOLANA_WALLET_SECRET_KEY": "file:/somewhere/that-is-no-secret",
        "PG_USER": "a-long-user-name",
        "VAULT_TOKEN": "short",
    }
    text = " ".join(environment.values())
    assert {line.partition(" (is)")[0] for line in leaks(canaries_of(environment), "x", text) if "(is)" in line} == {
        "PG_PASSWORD",
        "the password of REDIS_URL",
        "SOLANA_RPC_URL's query",
    }
