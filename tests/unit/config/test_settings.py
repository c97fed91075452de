"""The environment: what is wrong is named with what would be right, and no secret is ever repeated."""

from pathlib import Path

import pytest

from dexexec.config.data_dir import default_data_dir
from dexexec.config.postgres_url import Address
from dexexec.config.settings import Settings, env_name, load
from dexexec.domain.token import USDC, WSOL
from dexexec.errors import SettingsError

SECRET = "hunter2-hunter2"  # noqa: S105
MINT = "mSoLzYCxHdYgdzU16g5QSh3i5K3z3KZK7ytfqcJm7So"


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for field in Settings.model_fields:
        monkeypatch.delenv(env_name(field), raising=False)
    monkeypatch.chdir(tmp_path)


def test_without_an_environment_everything_has_a_default() -> None:
    settings = load()
    assert (settings.port, settings.redis_url, settings.postgres_address()) == (3000, None, None)
    assert settings.adapters == ("mock-raydium", "mock-meteora")
    assert settings.default_pair() == (WSOL, USDC)
    assert settings.warnings() == []


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("DEXEXEC_CONCURENCY", "1", "did you mean DEXEXEC_CONCURRENCY?"),
        ("PORT", "http", "PORT must be a whole number from 0 to 65535, not 'http'"),
        ("PORT", "65536", "PORT must be a whole number from 0 to 65535, not '65536'"),
        ("DEXEXEC_CONCURRENCY", "0", "must be a whole number from 1 to 10000, not '0'"),
        ("DEXEXEC_SWEEP_SECONDS", "1s", "must be a number from 0.05 to 600, not '1s'"),
        ("DEXEXEC_TRUST_PROXY", "maybe", "DEXEXEC_TRUST_PROXY must be true or false, not 'maybe'"),
        ("DEXEXEC_TRUSTED_PROXIES", "10.1.0.0/16,nginx", "DEXEXEC_TRUSTED_PROXIES: each proxy must be an address or"),
        ("DEXEXEC_TRUSTED_PROXIES", "10.1.0.1/16", "DEXEXEC_TRUSTED_PROXIES: each proxy must be an address or"),
        ("DEXEXEC_TRUSTED_PROXIES", "::/0", "DEXEXEC_TRUSTED_PROXIES: a network of all addresses trusts every client"),
        ("DEXEXEC_KEEP_DAYS", "never", "DEXEXEC_KEEP_DAYS must be a whole number from 1 to 36500, not 'never'"),
        ("DEXEXEC_ORDERS", "1", "DEXEXEC_ORDERS is not a setting: see .env.example"),
        ("PG_SCHEMA", "pg_x", "PG_SCHEMA: a schema's name has up to 63 letters"),
        ("PG_SCHEMA", "information_schema", "and is not Postgres' own"),
        ("DEXEXEC_LEASE_SECONDS", "5", "DEXEXEC_HEARTBEAT_SECONDS"),
        ("DEXEXEC_RETRY_MAX_MS", "1", "DEXEXEC_RETRY_BASE_MS"),
        ("DEXEXEC_MIN_COMPUTE_PRICE", "1000001", "DEXEXEC_MAX_COMPUTE_PRICE"),
        ("DEXEXEC_ADAPTERS", ",", "at least one adapter"),
        ("DEXEXEC_DRY_RUN_WALLET", MINT, "DEXEXEC_DRY_RUN_WALLET needs DEXEXEC_DRY_RUN=1"),
        ("DEXEXEC_DRY_RUN_WALLET", SECRET, "DEXEXEC_DRY_RUN_WALLET: it must be the address of a wallet"),
        ("DEXEXEC_TOKENS", "SOL", "MINT:SYMBOL:DECIMALS"),
        ("DEXEXEC_REDIS_PREFIX", "a b", "DEXEXEC_REDIS_PREFIX: "),
        ("DEXEXEC_LOG_LEVEL", "loud", "DEXEXEC_LOG_LEVEL must be debug, info, warning or error, not 'loud'"),
        ("PG_PORT", "5432,5433", "PG_HOST names another number of hosts than PG_PORT has ports"),
        ("PG_PORT", "65536", "PG_PORT must be a whole number from 1 to 65535, or several by comma, not '65536'"),
        ("PG_HOST", ",", "PG_HOST must name a host"),
        (
            "REDIS_URL",
            "cache.internal:6379",
            "REDIS_URL: no known scheme, or no host behind it: it must look like redis://",
        ),
    ],
)
def test_a_bad_value_is_named_with_what_would_be_right(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_setting_of_an_installed_adapter_is_known_and_its_misspelling_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEXEXEC_MOCK_SEED", "1")
    load(lambda: {"DEXEXEC_MOCK_SEED"})
    monkeypatch.setenv("DEXEXEC_MOCK_SEAD", "1")
    with pytest.raises(SettingsError, match="did you mean DEXEXEC_MOCK_SEED"):
        load(lambda: {"DEXEXEC_MOCK_SEED"})


def test_promise_14_secrets_are_in_no_repr_and_in_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PG_PASSWORD", SECRET)
    monkeypatch.setenv("SOLANA_WALLET_SECRET_KEY", SECRET)
    monkeypatch.setenv("SOLANA_RPC_URL", f"https://node.example/?api-key={SECRET}")
    monkeypatch.setenv("REDIS_URL", f"redis://:{SECRET}@127.0.0.1/0")
    settings = load()
    assert settings.pg_password is not None
    assert settings.pg_password.get_secret_value() == SECRET
    assert SECRET not in repr(settings) + str(settings) + str(settings.model_dump()) + " ".join(settings.warnings())
    for name in ("PORT", "DEXEXEC_CONCURRENCY", "DEXEXEC_TOKENS", "DEXEXEC_LOG_LEVEL"):
        with monkeypatch.context() as patch:
            patch.setenv(name, SECRET)
            with pytest.raises(SettingsError) as caught:
                load()
            assert SECRET not in str(caught.value)


def test_promise_14_a_key_in_place_of_an_address_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEXEXEC_DRY_RUN", "1")
    monkeypatch.setenv("DEXEXEC_DRY_RUN_WALLET", SECRET)
    with pytest.raises(SettingsError, match="it must be the address of a wallet") as caught:
        load()
    assert SECRET not in str(caught.value)
    monkeypatch.setenv("DEXEXEC_DRY_RUN_WALLET", MINT)
    assert load().dry_run_wallet == MINT


def test_placeholders_are_a_warning_and_the_default_pair_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOLANA_WALLET_SECRET_KEY", "123456")
    monkeypatch.setenv("OUTPUT_MINT", "12345678")
    settings = load()
    assert settings.default_pair() == (WSOL, USDC)
    warnings = settings.warnings()
    assert [w.split()[0] for w in warnings] == ["OUTPUT_MINT", "SOLANA_WALLET_SECRET_KEY"]
    assert "123456" not in " ".join(warnings)


def test_more_tokens_can_be_named_and_become_the_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEXEXEC_TOKENS", f"{MINT}:mSOL:9")
    monkeypatch.setenv("OUTPUT_MINT", MINT)
    settings = load()
    token = settings.token_list().get(MINT)
    assert token is not None
    assert (token.symbol, token.decimals) == ("mSOL", 9)
    assert settings.default_pair() == (WSOL, MINT)


def test_a_dotenv_file_is_read_and_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=4001\nDEXEXEC_CONCURRENCY=7\n")
    monkeypatch.setenv("PORT", "4002")
    assert (load().port, load().concurrency) == (4002, 7)
    (tmp_path / ".env").write_text("DEXEXEC_NONSENSE=1\n")
    with pytest.raises(SettingsError, match="DEXEXEC_NONSENSE"):
        load()


def test_an_empty_value_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "")
    monkeypatch.setenv("PORT", "")
    assert (load().redis_url, load().port) == (None, 3000)


def test_the_data_folder_follows_the_platforms_convention() -> None:
    assert default_data_dir({"XDG_DATA_HOME": "/data"}).name == "dexexec"


@pytest.mark.parametrize("name", ["DATABASE_URL", "PG_HOST"])
def test_a_postgres_url_is_taken_with_what_is_set_beside_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "postgresql://me@db:6000/trades?sslmode=require")
    monkeypatch.setenv("PG_PASSWORD", SECRET)
    monkeypatch.setenv("PG_USER", "me")
    assert load().postgres_address() == Address(
        host="db", port=6000, user="me", database="trades", password=SECRET, parameters=(("sslmode", "require"),)
    )


@pytest.mark.parametrize(
    ("other", "value"),
    [("PG_HOST", "db"), ("PG_PORT", "6001"), ("PG_USER", "you"), ("PG_DATABASE", "old"), ("PG_PASSWORD", "hunter3")],
)
def test_promise_14_an_address_and_a_variable_that_contradict_each_other_are_named_without_values(
    monkeypatch: pytest.MonkeyPatch, other: str, value: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://me:{SECRET}@db:6000/trades")
    monkeypatch.setenv(other, value)
    with pytest.raises(SettingsError) as caught:
        load()
    assert f"DATABASE_URL and {other} " in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "hunter3" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PG_DATABASE", f"postgresql://me:{SECRET}@db/trades"),
        ("PG_DATABASE", f"host=db password={SECRET}"),
        ("PG_USER", f"postgresql://me:{SECRET}@db/trades"),
        ("PG_USER", f"me:{SECRET}@db"),
        ("PG_HOST", f"me:{SECRET}@db"),
        ("DATABASE_URL", f"mysql://me:{SECRET}@db/trades"),
    ],
)
def test_promise_14_an_address_in_a_wrong_place_is_refused_without_being_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(SettingsError, match=name) as caught:
        load()
    assert SECRET not in repr(caught.value) + repr(caught.value.__cause__)


@pytest.mark.parametrize("name", ["PG_HOST", "DATABASE_URL"])
@pytest.mark.parametrize("text", [f"postgresql://me:{SECRET}@db/trades", f"host=db password={SECRET}"])
def test_promise_14_an_address_of_postgres_is_in_no_repr(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(name, text)
    settings = load()
    assert SECRET not in repr(settings) + str(settings.model_dump()) + repr(settings.postgres_address())


@pytest.mark.parametrize(
    ("port", "hosts"),
    [
        ("", [("a", 5432), ("b", 5432)]),
        ("6000", [("a", 6000), ("b", 6000)]),
        ("6000, 6001", [("a", 6000), ("b", 6001)]),
    ],
)
def test_several_postgres_hosts_have_one_port_or_each_its_own(
    monkeypatch: pytest.MonkeyPatch, port: str, hosts: list[tuple[str, int]]
) -> None:
    monkeypatch.setenv("PG_HOST", "a, b")
    monkeypatch.setenv("PG_PORT", port)
    found = load().postgres_address()
    assert found is not None
    assert list(found.hosts) == hosts


def test_a_home_that_is_not_known_matters_only_to_who_keeps_data_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service's user may have none."""
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    settings = load()
    with pytest.raises(SettingsError, match=r"no home directory is known .* DEXEXEC_DATA_DIR .* PG_HOST and REDIS_URL"):
        settings.data_folder()
    monkeypatch.setenv("DEXEXEC_DATA_DIR", "/data")
    assert load().data_folder() == Path("/data")


def test_a_data_folder_below_a_home_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("DEXEXEC_DATA_DIR", "~/dexexec")
    assert load().data_folder() == Path("/home/me/dexexec")
