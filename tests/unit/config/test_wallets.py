"""DEXEXEC_WALLETS: what its file may say, and errors that name the field and never a value."""

from pathlib import Path

import pytest

from dexexec.config.settings import Settings
from dexexec.config.wallets import read_wallets
from dexexec.domain.policy import Policy
from dexexec.domain.token import USDC

ADDRESS = "4BuiY9QUUfPoAGNJBja3JapAuVWMc9c7in6UCgyC2zPR"
HIDDEN = "3c7EhiddenHIDDENhidden"


def written(folder: Path, text: str) -> Path:
    path = folder / "wallets.toml"
    path.write_text(text)
    return path


def test_a_wallet_has_a_key_here_or_in_a_service(tmp_path: Path) -> None:
    text = f"""
    [desk-1]
    key = "file:~/desk-1.json"
    [desk-2]
    keychain = "vault"
    address = "{ADDRESS}"
    sign_seconds = 2.5
    keys = ["alice"]
    key_name = "desk"
    [desk-2.policy]
    maxPerDay = {{{USDC} = "5000000"}}
    """
    one, two = read_wallets(written(tmp_path, text)).values()
    assert (one.name, one.key, one.keychain, one.keys) == ("desk-1", "file:~/desk-1.json", "", None)
    assert (two.keychain, two.address, two.keys) == ("vault", ADDRESS, frozenset({"alice"}))
    assert (one.sign_seconds, two.sign_seconds) == (10, 2.5)
    assert two.service == {"key_name": "desk"}
    assert two.policy == Policy(max_per_day={USDC: 5_000_000})
    assert one.policy is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f'[desk]\nkey = "{HIDDEN}"', "key of [desk] must be file:PATH"),
        (f'[desk]\nkey = "file:k"\nkeyz = "{HIDDEN}"', "an unknown field (did you mean key"),
        (f"[desk]\nkey = {HIDDEN}", "its file is not TOML"),
        (f'desk = "{HIDDEN}"', "desk outside of a table"),
        ("[desk]", "[desk] needs either key or keychain"),
        ('[desk]\nkey = "file:k"\nkeychain = "vault"', "[desk] needs either key or keychain"),
        ('[desk]\nkeychain = "vault"', "[desk] needs address"),
        (f'[desk]\nkeychain = "vault"\naddress = "{HIDDEN}"', "address of [desk] is not an address"),
        ('[desk]\nkey = "file:k"\nsign_seconds = 31', "sign_seconds of [desk]"),
        ('[desk]\nkey = "file:k"\nsign_seconds = true', "sign_seconds of [desk]"),
        ('[desk]\nkey = "file:k"\nkeys = "alice"', "keys of [desk] must be a list"),
        ('[desk]\nkey = "file:k"\npolicy = 1', "policy of [desk] must be a table"),
        ('[desk]\nkey = "file:k"\npolicy = {openOrders = 1}', "openOrders, which is a limit of keys"),
        ('[desk]\nkey = "file:k"\npolicy = {maxPerDays = 1}', "did you mean maxPerDay?"),
        ("[desk]\nkey = 7", "key of [desk] must be a text"),
        ('["a desk"]\nkey = "file:k"', "a table whose name is not"),
        ("\n".join(f'[d{n}]\nkey = "file:k"' for n in range(101)), "more than 100 wallets"),
    ],
)
def test_promise_14_a_file_that_is_wrong_is_refused_with_the_field_and_without_the_value(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(ValueError) as caught:
        Settings(_env_file=None, wallets=written(tmp_path, text))
    assert words in str(caught.value)
    assert HIDDEN not in str(caught.value)


def test_a_file_that_is_missing_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="can be read"):
        read_wallets(tmp_path / "nowhere")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="not TOML"):
        read_wallets(tmp_path / "binary")


def test_the_default_wallet_is_given_once(tmp_path: Path) -> None:
    path = written(tmp_path, '[default]\nkey = "file:k"')
    assert Settings(_env_file=None, wallets=path).named_wallets().keys() == {"default"}
    with pytest.raises(ValueError, match="set one of them"):
        Settings(_env_file=None, wallets=path, solana_wallet_secret_key="file:k")  # noqa: S106
