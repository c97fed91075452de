"""docs/METRICS.md has every metric with its type and labels, and no other; its library has one place."""

import re
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from dexexec.domain.stage import Stage
from dexexec.observe.metrics import Metrics
from dexexec.observe.metrics.instruments import PrometheusInstruments

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "METRICS.md").read_text()
ROW = re.compile(r"^\| `(dexexec_[a-z_]+)` \| (counter|gauge|histogram) \|([^|]*)\| [^|]+ \|", re.MULTILINE)
FACT = re.compile(r'name="(dexexec_[a-z_]+)",\s+about="[^"]+",(?:\s+labels=\(([^)]*)\),)?')
FACT_PLACES = ("dexexec/bootstrap/operations.py", "dexexec/api/scrape.py")


def documented() -> dict[str, tuple[str, list[str]]]:
    return {name: (kind, re.findall("`([a-z_]+)`", labels)) for name, kind, labels in ROW.findall(PAGE)}


def counted() -> dict[str, tuple[str, list[str]]]:
    """The metrics that are counted as things happen."""
    instruments = PrometheusInstruments()
    Metrics(instruments)
    found = {}
    for collector in instruments.registry._collector_to_names:
        assert isinstance(collector, MetricWrapperBase)
        name, kind = collector._name, str(collector._type)
        found[f"{name}_total" if kind == "counter" else name] = kind, list(collector._labelnames)
    return found


def read_when_scraped() -> dict[str, tuple[str, list[str]]]:
    """The metrics that are read from the servers."""
    text = "".join((ROOT / place).read_text() for place in FACT_PLACES)
    return {name: ("gauge", re.findall(r'"([a-z_]+)"', labels)) for name, labels in FACT.findall(text)}


def test_every_metric_is_documented_with_its_type_and_labels_and_no_other() -> None:
    assert len(read_when_scraped()) >= 7
    assert documented() == counted() | read_when_scraped()


def test_names_end_with_their_unit_as_prometheus_wants_it() -> None:
    for name, (kind, _) in documented().items():
        assert name.endswith("_total") == (kind == "counter")
        if kind == "histogram":
            assert name.endswith(("_seconds", "_rows", "_bps", "_slots"))


def test_every_stage_is_documented() -> None:
    assert re.findall(r"^\| `([a-z]+)` \| .+ \| .+ \|$", PAGE.partition("## Stages")[2], re.MULTILINE) == list(Stage)


def importing(library: str) -> set[str]:
    statement = re.compile(rf"^\s*(?:from|import) {library}", re.MULTILINE)
    return {str(path.relative_to(ROOT)) for path in ROOT.glob("dexexec/**/*.py") if statement.search(path.read_text())}


def test_what_exports_is_imported_in_one_place_only() -> None:
    assert {str(Path(path).parent) for path in importing("prometheus_client")} == {"dexexec/observe/metrics"}
    assert importing("opentelemetry") == {"dexexec/observe/tracing/otel.py"}
