"""The alerts and the dashboard under deploy/ use metrics and labels that exist."""

import json
import re
from pathlib import Path
from typing import Any

from tests.unit.docs.test_metrics_docs import documented

DEPLOY = Path(__file__).parents[3] / "deploy"
ALERTS = DEPLOY / "prometheus-alerts.yml"
DASHBOARD = DEPLOY / "grafana-dashboard.json"
USE = re.compile(r"(dexexec_[a-z_]+)(?:\{([^}]*)\})?")
PARTS_OF_HISTOGRAMS = ("_bucket", "_sum", "_count")


def expressions() -> list[str]:
    alerts = re.findall(
        r"^ +expr: (?:>\n)?((?:.+\n)(?: {10,}.+\n)*?)(?= +(?:for|labels):)", ALERTS.read_text(), re.MULTILINE
    )
    panels: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return [*alerts, *(target["expr"] for panel in panels for target in panel["targets"])]


def metric_of(series: str) -> str:
    """The name of a metric, without the endings that the series of a histogram have."""
    return next((series.removesuffix(end) for end in PARTS_OF_HISTOGRAMS if series.endswith(end)), series)


def test_each_series_is_of_a_documented_metric_with_its_labels() -> None:
    known = documented()
    assert len(expressions()) >= 60
    for expression in expressions():
        for series, selection in USE.findall(expression):
            assert metric_of(series) in known, expression
            assert set(re.findall(r"([a-z]+)=", selection)) <= set(known[metric_of(series)][1]), expression


def test_the_dashboard_shows_every_metric_that_is_not_for_alerts_alone() -> None:
    shown = {metric_of(series) for expression in expressions() for series, _ in USE.findall(expression)}
    rarely_of_interest = {
        "dexexec_orders_replayed_total", "dexexec_order_events_total", "dexexec_attempts_total",
        "dexexec_orders_requeued_total", "dexexec_dead_workers_removed_total", "dexexec_venue_breaker_opened_total",
    }  # fmt: skip
    assert set(documented()) - shown == rarely_of_interest


def test_panels_have_titles_and_ids_of_their_own() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)


def test_every_alert_has_its_entry_in_the_runbook_and_no_other() -> None:
    runbook = (DEPLOY.parent / "docs" / "OPERATIONS.md").read_text()
    alerts = re.findall(r"alert: (\w+)", ALERTS.read_text())
    assert re.findall(r"^### (Dexexec\w+)$", runbook, re.MULTILINE) == alerts
