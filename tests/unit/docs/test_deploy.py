"""What is under deploy/ fits the program: settings, commands, ports, probes and times that exist and agree."""

import argparse
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from tornado.routing import PathMatches
from tornado.web import Application

from dexexec.api.operations import Operations, make_operations_server
from dexexec.bootstrap.shutdown import END_SECONDS
from dexexec.bootstrap.supervisor import GRACE_SECONDS
from dexexec.cli.main import parser
from dexexec.config.secret_files import IN_FILES
from dexexec.config.settings import Settings, env_name

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
KUBERNETES, SYSTEMD = DEPLOY / "kubernetes", DEPLOY / "systemd"
SANDBOX = SYSTEMD / "dexexec-.service.d" / "sandbox.conf"
FILES = [path for path in sorted(DEPLOY.rglob("*")) if path.is_file()]
SETTING = re.compile(r"\b(?:DEXEXEC_[A-Z][A-Z_]*|PG_[A-Z]+|REDIS_URL|DATABASE_URL|SOLANA_[A-Z_]+)\b(?!\*)")
USER = 10001
ROLES = ("migrate", "worker", "api")


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def settings() -> dict[str, str]:
    """The variable of every setting, and its field."""
    return {env_name(field): field for field in Settings.model_fields}


def manifests() -> list[dict[str, Any]]:
    found = [each for path in sorted(KUBERNETES.glob("*.yaml")) for each in yaml.safe_load_all(text(path))]
    return [each for each in found if each["kind"] not in {"Kustomization", "Secret"}]


def pods() -> dict[str, dict[str, Any]]:
    """The pods of deployments and jobs, by the name of their only container."""
    found = {}
    for each in manifests():
        if each["kind"] in {"Deployment", "Job"}:
            [container] = each["spec"]["template"]["spec"]["containers"]
            found[container["name"]] = each["spec"]["template"]["spec"]
    return found


def container(pod: dict[str, Any]) -> dict[str, Any]:
    [only] = pod["containers"]
    assert isinstance(only, dict)
    return only


def services() -> dict[str, dict[str, Any]]:
    """Those of compose.yaml, with what they share filled in."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(text(DEPLOY / "compose.yaml"))["services"]
    return found


def environment(lines: str) -> dict[str, str]:
    """The lines NAME=VALUE of a file."""
    return dict(re.findall(r"^([A-Z_]+)=(.*)$", lines, re.MULTILINE))


def pod_environment(pod: dict[str, Any]) -> dict[str, str]:
    own = {entry["name"]: entry["value"] for entry in container(pod).get("env", [])}
    return environment(text(KUBERNETES / "settings.env")) | own


def unit(role: str) -> dict[str, str]:
    """The options of a unit, with those of the drop-in, which win."""
    return dict(
        re.findall(r"^([A-Za-z]+)=(.*)$", text(SYSTEMD / f"dexexec-{role}.service") + text(SANDBOX), re.MULTILINE)
    )


def unit_environment(role: str) -> dict[str, str]:
    given = re.findall(r"^Environment=(.*)$", text(SANDBOX) + text(SYSTEMD / f"dexexec-{role}.service"), re.MULTILINE)
    pairs = [pair for line in given for pair in shlex.split(line)]
    return environment("\n".join(pairs)) | environment(text(SYSTEMD / "dexexec.env"))


def image_environment() -> dict[str, str]:
    block = re.search(r"^ENV (.+?[^\\])$", text(DEPLOY / "Dockerfile"), re.MULTILINE | re.DOTALL)
    assert block is not None
    return dict(pair.split("=", 1) for pair in shlex.split(block[1].replace("\\\n", " ")))


def environments() -> Iterator[tuple[str, dict[str, str]]]:
    """Every set of variables with which something is started, on top of the image's where there is one."""
    yield "image", image_environment()
    for name, pod in pods().items():
        yield f"kubernetes {name}", image_environment() | pod_environment(pod)
    for name in ROLES:
        yield f"compose {name}", image_environment() | services()[name]["environment"]
        yield f"systemd {name}", unit_environment(name)


def test_every_setting_that_is_named_exists() -> None:
    named = {(path.name, name) for path in FILES for name in SETTING.findall(text(path))}
    assert len(named) > 40
    assert {(path, name) for path, name in named if name not in settings()} == set()


@pytest.mark.parametrize(("name", "given"), list(environments()), ids=[name for name, _ in environments()])
def test_every_environment_is_valid(
    name: str, given: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for known in settings():
        monkeypatch.delenv(known, raising=False)
    for variable in IN_FILES & given.keys():
        # The content of the file is not part of deploy/: one that fits.
        (tmp_path / variable).write_text("redis://:secret@cache:6379/0" if variable == "REDIS_URL" else "secret")
        assert given[variable].startswith(("file:/", "file:%d/", "redis://valkey:")), name
        given = given | {variable: f"file:{tmp_path / variable}"}
    for variable, value in given.items():
        if variable in settings():
            monkeypatch.setenv(variable, value)
    loaded = Settings(_env_file=None)
    if name != "image":
        assert loaded.postgres_address() is not None, "it would start an embedded server"
        assert loaded.redis_url is not None


def commands() -> set[str]:
    found = [action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return {name for action in found for name in action.choices}


def test_every_command_is_one_of_the_program() -> None:
    started = [container(pod)["args"] for pod in pods().values()]
    started += [services()[name]["command"] for name in ("worker", "api")]
    started += [
        line.split() for path in FILES for line in re.findall(r"ExecStart=/opt/dexexec/bin/dexexec (.+)", text(path))
    ]
    scripts = " ".join(services()["migrate"]["command"])
    started += [shlex.split(line) for line in re.findall(r"dexexec ([a-z][^;|>]+)", scripts)]
    assert [line[0] for line in started].count("api") == 3
    assert {line[0] for line in started} == {"api", "worker", "migrate", "keys"}
    for line in started:
        parser().parse_args(line)  # exits if it is wrong


@pytest.mark.parametrize("role", ["api", "worker"])
def test_each_way_gives_a_stop_the_time_that_it_may_take(role: str) -> None:
    def longest(given: dict[str, str]) -> float:
        lame = Settings.model_fields["lame_duck_seconds"].default
        drain = Settings.model_fields["drain_seconds"].default
        seconds = (given.get("DEXEXEC_LAME_DUCK_SECONDS", lame), given.get("DEXEXEC_DRAIN_SECONDS", drain))
        return float(sum(map(float, seconds))) + END_SECONDS

    assert pods()[role]["terminationGracePeriodSeconds"] > longest(pod_environment(pods()[role]))
    grace = services()[role]["stop_grace_period"]
    assert float(grace.removesuffix("s")) > longest(services()[role]["environment"])
    patience = float(unit(role)["TimeoutStopSec"].removesuffix("s"))
    assert patience > longest(unit_environment(role)) + GRACE_SECONDS  # with --processes


def test_an_api_pod_serves_on_until_every_node_has_noticed_that_it_ends() -> None:
    probe = container(pods()["api"])["readinessProbe"]
    noticed = probe["periodSeconds"] * probe["failureThreshold"]
    assert float(pod_environment(pods()["api"])["DEXEXEC_LAME_DUCK_SECONDS"]) > noticed


def test_probes_ask_routes_that_exist_on_the_port_that_the_image_sets() -> None:
    server = make_operations_server(Operations(None, None, None, None))  # type: ignore[arg-type]
    app = server.request_callback
    assert isinstance(app, Application)
    matchers = [rule.matcher for rule in app.wildcard_router.rules]
    routes = {each.regex.pattern for each in matchers if isinstance(each, PathMatches)}
    assert {"/healthz$", "/readyz$"} <= routes
    port = int(image_environment()["DEXEXEC_METRICS_PORT"])
    for role in ("api", "worker"):
        only = container(pods()[role])
        assert {each["name"]: each["containerPort"] for each in only["ports"]}["operations"] == port
        for probe, path in (("startup", "/healthz"), ("liveness", "/healthz"), ("readiness", "/readyz")):
            assert only[f"{probe}Probe"]["httpGet"] == {"path": path, "port": "operations"}
        started = only["startupProbe"]
        waits = Settings.model_fields["start_seconds"].default
        assert started["periodSeconds"] * started["failureThreshold"] > waits + 30
    assert f"http://127.0.0.1:{port}/healthz" in text(DEPLOY / "Dockerfile")
    assert f"EXPOSE {Settings.model_fields['port'].default} {port}\n" in text(DEPLOY / "Dockerfile")
    policies = [each["spec"] for each in manifests() if each["kind"] == "NetworkPolicy"]
    opened = {rule["port"] for spec in policies for entry in spec.get("ingress", []) for rule in entry["ports"]}
    assert opened == {port, Settings.model_fields["port"].default}


def test_nothing_is_root_or_writes_to_its_files_in_a_container() -> None:
    image = text(DEPLOY / "Dockerfile")
    assert re.findall(r"^USER (.+)$", image, re.MULTILINE) == [f"{USER}:{USER}"]
    for name, pod in pods().items():
        context = pod["securityContext"]
        assert (context["runAsNonRoot"], context["runAsUser"], context["fsGroup"]) == (True, USER, USER), name
        only = container(pod)
        assert only["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"name": "tmp", "mountPath": "/tmp"} in only["volumeMounts"]  # noqa: S108 - in the container
    for name, service in services().items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert any(mount.startswith("/tmp") for mount in service["tmpfs"]) or name == "valkey"  # noqa: S108


def test_the_image_has_a_python_that_the_package_claims() -> None:
    [version] = re.findall(r"^ARG PYTHON=(.+)$", text(DEPLOY / "Dockerfile"), re.MULTILINE)
    claimed = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]["classifiers"]
    assert f"Programming Language :: Python :: {version}" in claimed


def test_the_image_gets_what_the_package_is_built_from() -> None:
    allowed = re.findall(r"^!(.+)$", text(ROOT / ".dockerignore"), re.MULTILINE)
    assert all((ROOT / name).exists() for name in allowed)
    project = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]
    # Licences of what the package carries are in its folders already.
    licences = {name for name in project["license-files"] if "/" not in name}
    needed = {"pyproject.toml", "setup.cfg", project["readme"], *licences}
    assert needed | {"dexexec", "dexexec_adapters", "adapters", "sql", "requirements.lock"} == set(allowed)


def test_the_embedded_servers_that_the_image_leaves_out_are_all_that_the_extra_has() -> None:
    extra = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]["optional-dependencies"]["embedded"]
    [removed] = re.findall(r"pip uninstall --yes (embedded.+)$", text(DEPLOY / "Dockerfile"), re.MULTILINE)
    assert removed.split() == [re.split("[><=]", entry)[0] for entry in extra]


def test_the_page_about_deploying_names_every_file_and_no_other() -> None:
    page = text(ROOT / "docs" / "DEPLOY.md")
    linked = set(re.findall(r"\]\(\.\./deploy/([^)]+)\)", page))
    own = {str(path.relative_to(DEPLOY)) for path in FILES}
    folders = {str(path.relative_to(DEPLOY)) for path in DEPLOY.rglob("*") if path.is_dir()}
    assert linked <= own | folders
    assert {name for name in own if not any(name.startswith(f"{folder}/") for folder in linked & folders)} <= linked
