"""`.env` as its ecosystem reads it, and libpq's variables from it."""

import os
from pathlib import Path

import pytest

from dexexec.config.environment import LIBPQ, environment, environment_warnings, pass_to_libpq
from dexexec.config.secret_files import IN_FILES
from dexexec.config.settings import Settings, env_name, load
from dexexec.errors import SettingsError
from dexexec.observe.redaction import Redactor

READ = [
    ("'a ${HOME} #b'", "a ${HOME} #b"),
    ('"a ${HOME} #b"', "a /home/me #b"),
    ("a${HOME}", "a/home/me"),
    ("a #b", "a"),
    ("a#b", "a#b"),
    ("a$b", "a$b"),
    ("a${NOT_SET:-b}", "ab"),
    (r'"a\"b"', 'a"b'),
    (r"'a\'b'", "a'b"),
]


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    for name in [*LIBPQ, *IN_FILES, "PG_HOST", "PGHOST", "PGUSER", "PORT"]:
        monkeypatch.delenv(name, raising=False)


def write(*lines: str) -> None:
    Path(".env").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(("written", "value"), READ, ids=[written for written, _ in READ])
def test_a_value_is_read_as_other_programs_read_it(written: str, value: str) -> None:
    write(f"PG_PASSWORD={written}")
    settings = load()
    assert settings.pg_password is not None
    assert settings.pg_password.get_secret_value() == value
    assert environment()["PG_PASSWORD"] == value


@pytest.mark.parametrize("line", ["port=4000", "export PORT = 4000", "\ufeffPORT=4000", "PORT='4000'  # the port"])
def test_a_setting_is_found_however_its_line_is_written(line: str) -> None:
    write(line)
    assert load().port == 4000


def test_a_password_that_loses_its_end_or_its_middle_is_not_repeated() -> None:
    write("PG_PASSWORD=hunter2 #hunter3", 'REDIS_URL="redis://:x${hunter4}y@h/0"', "PORT=1 # fine")
    warnings = list(environment_warnings())
    assert len(warnings) == 2
    assert warnings[0].startswith("PG_PASSWORD in .env ends before ` #`")
    assert warnings[1].startswith("REDIS_URL in .env names a variable in ${} that is not set")
    assert "hunter" not in "".join(warnings)
    assert set(warnings) <= set(load().warnings())


@pytest.mark.parametrize("line", ["PG_PASSWORD='hunter2", 'PG_PASSWORD="hunter2', "PG_PASSWORD='hun'ter2'"])
def test_a_line_that_cannot_be_read_stops_the_start_instead_of_being_left_out(line: str) -> None:
    write("PORT=1", line)
    with pytest.raises(SettingsError, match=r"^line 2 of \.env cannot be read: is a quote missing\?$"):
        load()


def test_a_file_that_cannot_be_read_stops_the_start() -> None:
    Path(".env").write_bytes(b"PORT=\xff\xfe")
    with pytest.raises(SettingsError, match=r"\.env is not UTF-8"):
        load()


def test_libpq_gets_the_values_of_the_file_unless_the_environment_has_them() -> None:
    write("PGSSLMODE=verify-full", "PGSSLROOTCERT=/ca.pem", "PGPASSFILE=", "PGAPPNAME=x", "PGPASSWORD='a b'")
    given = {"PGSSLROOTCERT": "/other.pem"}
    pass_to_libpq(given)
    assert given == {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/other.pem", "PGPASSWORD": "a b"}


def test_variables_that_name_a_postgres_do_not_count_and_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be meant for psql: variables of other programs do not make the service use a Postgres."""
    monkeypatch.setenv("PGHOST", "db")
    write("PGUSER=me")
    assert load().postgres_address() is None
    assert list(environment_warnings()) == [
        "PGHOST is ignored: set PG_HOST or DATABASE_URL",
        "PGUSER is ignored: set PG_USER or DATABASE_URL",
    ]
    monkeypatch.setenv("DATABASE_URL", "postgresql://me@db/dex")
    assert list(environment_warnings()) == []


def test_promise_14_what_libpq_reads_is_masked() -> None:

    write("PGPASSWORD=hunter2-hunter2")
    assert "hunter2" not in Redactor(environment())("wrong: hunter2-hunter2")
    assert "PGPASSWORD" not in os.environ


SECRETS = {
    "DATABASE_URL": "postgresql://me:hunter2-hunter2@db/trades",
    "PG_PASSWORD": "hunter2-hunter2",
    "REDIS_URL": "redis://:hunter2-hunter2@cache:6379/0",
    "SOLANA_RPC_URL": "https://node.example/?api-key=hunter2-hunter2",
    "DEXEXEC_SEND_URLS": "https://sender.example/?api-key=hunter2-hunter2",
}


@pytest.mark.parametrize("in_file", [True, False], ids=[".env", "environment"])
@pytest.mark.parametrize("name", sorted(IN_FILES))
def test_promise_14_a_secret_may_be_in_a_file_and_is_masked_like_any_other(
    name: str, in_file: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("secret").write_text(f"{SECRETS[name]}\n")
    if in_file:
        write(f"{name}=file:secret")
    else:
        monkeypatch.setenv(name, "file:secret")
    [field] = [field for field in Settings.model_fields if env_name(field) == name]
    assert getattr(load(), field).get_secret_value() == SECRETS[name]
    assert environment()[name] == SECRETS[name]
    assert "hunter2" not in Redactor(environment())("refused: hunter2-hunter2")


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff", b"x" * 70_000])
@pytest.mark.parametrize("name", sorted(IN_FILES))
def test_promise_14_a_file_without_a_secret_stops_the_start_and_its_name_is_not_repeated(
    name: str, content: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "file:hunter2")  # it may be the secret itself, misunderstood
    if content is not None:
        Path("hunter2").write_bytes(content)
    with pytest.raises(SettingsError, match=f"^{name}: its secret.*") as caught:
        load()
    assert "hunter2" not in str(caught.value)
    assert environment()[name] == "file:hunter2"


def test_a_setting_that_is_no_secret_names_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "file:port")
    with pytest.raises(SettingsError, match="PORT must be a whole number"):
        load()
