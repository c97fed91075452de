"""Which files are accepted as a certificate and its key, and what is reported about others."""

import os
from pathlib import Path

import pytest

from dexexec.api.certificate import load
from dexexec.config.settings import Settings
from dexexec.config.settings import load as load_settings
from dexexec.errors import SettingsError, StartupError
from tests.support.certificates import write_certificate

ENCRYPTED = """-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGjMF8GCSqGSIb3DQEFDTBSMDEGCSqGSIb3DQEFDDAkBBAAAAAAAAAAAAAAAAAA
AAAAAgIIADAMBggqhkiG9w0CCQUAMB0GCWCGSAFlAwQBKgQQAAAAAAAAAAAAAAAA
AAAAAARAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==
-----END ENCRYPTED PRIVATE KEY-----
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return write_certificate(tmp_path)


def refusal(certificate: Path, key: Path) -> str:
    with pytest.raises(StartupError) as caught:
        load(certificate, key)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_certificate_and_its_key_are_loaded(files: tuple[Path, Path]) -> None:
    assert load(*files).minimum_version.name == "TLSv1_2"


@pytest.mark.parametrize("mode", [0o604, 0o606, 0o602, 0o601, 0o620, 0o660])
def test_a_key_that_others_can_read_or_write_is_refused(files: tuple[Path, Path], mode: int) -> None:
    files[1].chmod(mode)
    assert f"chmod 600 {files[1]}" in refusal(*files)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a file to root")
def test_a_group_may_read_the_key_if_root_gave_it_the_right(files: tuple[Path, Path]) -> None:
    files[1].chmod(0o640)
    load(*files)
    os.chown(files[1], 12_345, 12_345)
    assert "others can read" in refusal(*files)


def test_a_key_of_another_certificate_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    other = write_certificate(tmp_path / "other")
    assert refusal(files[0], other[1]) == "DEXEXEC_TLS_KEY does not belong to the certificate of DEXEXEC_TLS_CERT"


def test_a_file_that_is_missing_no_file_or_no_pem_is_named(files: tuple[Path, Path], tmp_path: Path) -> None:
    certificate, key = files
    assert "DEXEXEC_TLS_KEY cannot be read (No such file or directory)" in refusal(certificate, tmp_path / "none")
    assert "DEXEXEC_TLS_CERT cannot be read (No such file or directory)" in refusal(tmp_path / "none", key)
    assert "DEXEXEC_TLS_KEY is not a regular file" in refusal(certificate, tmp_path)
    certificate.write_text("a certificate, they said")
    assert "must be PEM files" in refusal(certificate, key)


def test_an_encrypted_key_is_no_question_on_the_terminal(files: tuple[Path, Path]) -> None:
    files[1].write_text(ENCRYPTED)
    assert "encrypted" in refusal(*files)


@pytest.mark.parametrize("name", ["DEXEXEC_TLS_CERT", "DEXEXEC_TLS_KEY"])
def test_one_without_the_other_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "/somewhere.pem")
    with pytest.raises(SettingsError, match="DEXEXEC_TLS_CERT and DEXEXEC_TLS_KEY belong together"):
        load_settings()


def test_a_key_in_place_of_its_path_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, files: tuple[Path, Path]
) -> None:
    text = files[1].read_text()
    monkeypatch.setenv("DEXEXEC_TLS_CERT", str(files[0]))
    monkeypatch.setenv("DEXEXEC_TLS_KEY", text)
    with pytest.raises(SettingsError, match="DEXEXEC_TLS_KEY: it must be the path of a file") as caught:
        load_settings()
    assert text.splitlines()[1] not in str(caught.value)


def test_both_are_settings() -> None:
    given = Settings(_env_file=None, tls_cert=Path("/a.pem"), tls_key=Path("/b.pem"))
    assert (given.tls_cert, given.tls_key) == (Path("/a.pem"), Path("/b.pem"))
