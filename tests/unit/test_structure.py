"""Dependencies point one way: each part imports only from the layers below it."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted([*ROOT.glob("dexexec/**/*.py"), *ROOT.glob("adapters/**/*.py")])
LAYERS = (
    {"domain"},
    {
        "errors",
        "clock",
        "batcher",
        "breaker",
        "cancellation",
        "descriptors",
        "notify",
        "stopping",
        "redis_address",
        "host_names",
        "wrong_value",
        "postgres_address",
        "redaction",
        "log_output",
        "log_sampling",
    },
    {"venue", "topology", "log", "environment", "redis_rights", "redis_outages"},
    {"foreign", "settings", "presets", "observe", "announce", "queue", "embedded_servers", "demo_order"},
    {"quote_check"},
    {
        "registry",
        "router",
        "settlement",
        "limiter",
        "retry_timers",
        "subscription",
        "embedded",
        "demo_client",
        "demo_view",
    },
    {"sizing"},
    {"store", "acceptance", "rounds", "follower", "presenting", "testing", "demo", "localnet"},
    {"job"},
    {"filling"},
    {
        "feed",
        "intake",
        "pipeline",
        "sweeper",
        "retention",
        "servers",
        "listening",
        "lifetime",
        "reachability",
        "localnet_command",
        "quote_view",
    },
    {"recovery", "turns", "watcher", "first_contact"},
    {"direct"},
    {"worker", "api", "banner", "connections", "networks"},
    {"standbys"},
    {"run", "processes", "bench", "adapters_command", "quote_command", "wallet_command", "orders_command"},
    {"look_command"},
    {"__main__"},
)
LEVEL = {f"dexexec.{part}": level for level, layer in enumerate(LAYERS) for part in layer}


def graph() -> dict[str, set[str]]:
    """Part (`dexexec.store`, `adapters.mock` ...) -> the other parts it imports, wherever in a file that stands."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in FILES:
        part = ".".join(path.relative_to(ROOT).with_suffix("").parts[:2])
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                package = node.module in {"dexexec", "adapters"}
                names = [f"{node.module}.{alias.name}" if package else str(node.module) for alias in node.names]
            ours = {".".join(name.split(".")[:2]) for name in names if name.split(".")[0] in {"dexexec", "adapters"}}
            found[part] |= ours - {part, "dexexec.__version__"}
    return found


@pytest.mark.parametrize(("part", "imported"), list(graph().items()))
def test_a_part_imports_only_what_is_below_it(part: str, imported: set[str]) -> None:
    if part.startswith("adapters."):
        assert {name for name in imported if name.startswith("dexexec")} <= {"dexexec.venue", "dexexec.domain"}
    elif part != "dexexec.__init__":
        assert part in LEVEL, "a new part: give it its place in LAYERS, and in docs/ARCHITECTURE.md"
        assert {name for name in imported if LEVEL.get(name, len(LAYERS)) >= LEVEL[part]} == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_too_long_to_be_read_at_once(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


def test_each_change_of_the_schema_has_a_number_of_its_own() -> None:
    numbers = [path.name.split("_")[0] for path in sorted((ROOT / "sql").glob("*.sql"))]
    assert len(set(numbers)) == len(numbers) > 0
