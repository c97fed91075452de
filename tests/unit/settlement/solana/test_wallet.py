"""The wallet reads a key in its usual forms, signs with it, and never shows any part of it."""

import contextlib
import copy
import json
import logging
import os
import pickle
import stat
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature

from dexexec.domain import base58
from dexexec.errors import SettingsError, StartupError
from dexexec.settlement.solana.wallet import Wallet

PAIR = Keypair.from_seed(bytes(range(100, 132)))
KEY = bytes(PAIR)
ADDRESS = str(PAIR.pubkey())
TEXT, ARRAY = base58.encode(KEY), json.dumps(list(KEY))
FOREIGN = KEY[:32] + bytes(Keypair.from_seed(bytes(32)).pubkey())


def kept(path: Path, content: str | bytes, mode: int = 0o600) -> str:
    """The setting for a file with this content."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return f"file:{path}"


@pytest.mark.parametrize("form", [TEXT, ARRAY, f" {TEXT}\n", json.dumps(list(KEY), indent=1)])
def test_a_key_is_read_as_base58_or_as_a_json_array_also_from_a_file(form: str, tmp_path: Path) -> None:
    for secret in (form, kept(tmp_path / "key", form), kept(tmp_path / "key", form + "\n", 0o400)):
        assert Wallet.read(secret).address == ADDRESS


def test_a_file_may_be_below_the_home_and_behind_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    kept(tmp_path / "key", ARRAY)
    (tmp_path / "link").symlink_to(tmp_path / "key")
    assert Wallet.read("file:~/link").address == ADDRESS


def test_a_signature_is_the_wallets_over_the_message() -> None:
    wallet = Wallet.read(TEXT)
    signature = wallet.sign(b"message")
    assert signature == wallet.sign(b"message")
    assert Signature.from_bytes(signature).verify(Pubkey.from_string(wallet.address), b"message")
    assert not Signature.from_bytes(signature).verify(Pubkey.from_string(wallet.address), b"another")


BAD = [
    pytest.param("", id="nothing"),
    pytest.param("123456", id="a placeholder"),
    pytest.param("your-secret-key", id="words"),
    pytest.param(base58.encode(KEY[:32]), id="the secret half alone"),
    pytest.param(base58.encode(KEY + b"\x01"), id="a byte too many"),
    pytest.param(TEXT[:-1] + "0", id="not base58"),
    pytest.param(TEXT * 100, id="far too long"),
    pytest.param(base58.encode(FOREIGN), id="another's public half"),
    pytest.param(json.dumps(list(FOREIGN)), id="another's public half in an array"),
    pytest.param(json.dumps(list(KEY[:63])), id="63 numbers"),
    pytest.param(json.dumps([*KEY[:63], 256]), id="a number over 255"),
    pytest.param(json.dumps([*KEY[:63], -1]), id="a number under 0"),
    pytest.param(json.dumps([*KEY[:63], 1.5]), id="a fraction"),
    pytest.param(json.dumps([*KEY[:63], True]), id="a truth value"),
    pytest.param(ARRAY[:-1], id="a broken array"),
    pytest.param("[" * 4_000, id="a deep array"),
    pytest.param("[" + "9" * 4_000, id="a long number"),
    pytest.param("[" + ", ".join("1" * 5_000) + "]", id="a long array"),
]


def leak(error: BaseException, *secrets: str) -> list[str]:
    """Pieces of the secrets, of eight letters, that the error shows: in its text, its chain, or the variables of the
    frames below this test's own."""
    shown = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
        shown += repr(error) + repr(error.args) + repr(vars(error))
    frames = error.__traceback__.tb_next if error.__traceback__ else None  # the first frame is the test
    while frames is not None:
        shown += repr(frames.tb_frame.f_locals)
        frames = frames.tb_next
    size = 8
    pieces = {secret[at : at + size] for secret in secrets for at in range(max(1, len(secret) - size + 1)) if secret}
    return sorted(piece for piece in pieces if piece in shown)


@pytest.mark.parametrize("secret", BAD)
def test_a_key_that_cannot_be_right_is_a_clear_error_that_does_not_repeat_it(secret: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    for given_as in (secret, kept(path, secret)):
        with pytest.raises(SettingsError) as caught:
            Wallet.read(given_as)
        text = str(caught.value)
        assert text.startswith("SOLANA_WALLET_SECRET_KEY ")
        assert "base58 of 64 bytes, a JSON array of 64 numbers" in text
        assert "file:PATH" in text
        assert "\n" not in text
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)
        assert leak(caught.value, secret.strip()) == []


def test_the_check_for_leaks_finds_one() -> None:
    with pytest.raises(ValueError) as caught:
        json.loads(ARRAY[:-1])
    assert leak(caught.value, ARRAY[:-1]) != []


def test_a_file_with_bytes_that_are_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="with other content"):
        Wallet.read(kept(tmp_path / "key", b"\xff\xfe" + KEY))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o666])
def test_a_file_that_others_can_use_is_refused_with_the_command_that_helps(mode: int, tmp_path: Path) -> None:
    secret = kept(tmp_path / "key", ARRAY, mode)
    if os.getuid() == 0:
        os.chown(tmp_path / "key", 1000, 1000)
    with pytest.raises(SettingsError, match=f"chmod 600 {tmp_path / 'key'}") as caught:
        Wallet.read(secret)
    assert leak(caught.value, ARRAY) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a file of root's")
@pytest.mark.parametrize(("mode", "accepted"), [(0o440, True), (0o640, True), (0o460, False), (0o444, False)])
def test_a_file_of_roots_may_be_read_by_a_group_as_mounted_secrets_are(
    mode: int, accepted: bool, tmp_path: Path
) -> None:
    secret = kept(tmp_path / "key", ARRAY, mode)
    with contextlib.nullcontext() if accepted else pytest.raises(SettingsError, match="others can read or write"):
        assert Wallet.read(secret).address


def test_a_path_that_is_not_a_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(SettingsError, match="not a regular file"):
            Wallet.read(f"file:{path}")


@pytest.mark.parametrize("path", ["missing", TEXT, TEXT * 50, "", "~nobody-of-that-name/key", "a\0b"])
def test_a_missing_file_is_refused_and_not_named_as_it_may_be_a_key_in_the_wrong_place(path: str) -> None:
    with pytest.raises(SettingsError, match=r"names (a file that|something)") as caught:
        Wallet.read(f"file:{path}")
    assert leak(caught.value, path) == [] or path == "missing"
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


@given(st.text(max_size=200))
def test_any_value_of_the_setting_is_a_wallet_or_a_settings_error(secret: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Wallet.read(secret)
    assert caught.value.__context__ is None


def test_a_wallet_shows_its_address_and_nothing_of_its_key(caplog: pytest.LogCaptureFixture) -> None:
    @dataclass
    class Holder:
        wallet: Wallet

    wallet = Wallet.read(TEXT)
    logging.getLogger("test").warning("%s %r", wallet, Holder(wallet))
    shown = [repr(wallet), str(wallet), f"{wallet}", repr(Holder(wallet)), caplog.text]
    shown += [repr(getattr(wallet, name)) for name in dir(wallet) if not name.startswith("__")]
    assert all(ADDRESS in one for one in shown[:5])
    seed = base58.encode(KEY[:32])
    for secret in (TEXT, seed, KEY[:32].hex(), ARRAY[1:-1], repr(KEY[:32])[2:-1]):
        assert not any(secret[at : at + 8] in one for one in shown for at in range(len(secret) - 8))
    with pytest.raises(TypeError, match="vars"):
        vars(wallet)


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"])
def test_a_wallet_does_not_leave_its_process(take: Callable[[Wallet], object]) -> None:
    with pytest.raises(TypeError, match="does not leave its process"):
        take(Wallet.read(TEXT))


def test_a_development_wallet_is_made_once_and_kept_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "data" / "wallet.json"
    made = Wallet.kept_in(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Wallet.kept_in(path).address == made.address == Wallet.read(f"file:{path}").address
    assert [one.name for one in path.parent.iterdir()] == ["wallet.json"]
    assert Wallet.kept_in(tmp_path / "other.json").address != made.address


def test_promise_14_a_new_wallet_is_for_its_owner_only_and_never_overwrites_one(tmp_path: Path) -> None:
    path = tmp_path / "data" / "wallet.json"
    made = Wallet.new(path)
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
    assert Wallet.read(f"file:{path}").address == made.address
    with pytest.raises(StartupError, match=r"a wallet in .* already"):
        Wallet.new(path)
    assert Wallet.kept_in(path).address == made.address


def test_concurrent_callers_get_the_same_development_wallet(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        for turn in range(20):
            path = tmp_path / f"{turn}.json"
            addresses = list(pool.map(lambda _, path=path: Wallet.kept_in(path).address, range(16)))
            assert len(set(addresses)) == 1
    assert len(list(tmp_path.iterdir())) == 20


def test_a_development_wallet_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    path = tmp_path / "wallet.json"
    kept(path, ARRAY, 0o644)
    with pytest.raises(StartupError, match=f"{path} cannot be used: it is in a file that others"):
        Wallet.kept_in(path)
    kept(path, ARRAY[:-1])
    with pytest.raises(StartupError, match=f"{path} cannot be used: it is not a JSON array") as caught:
        Wallet.kept_in(path)
    assert leak(caught.value, ARRAY) == []
    with pytest.raises(StartupError, match="cannot be created: File exists"):
        Wallet.kept_in(path / "below")
