"""The alerts and the dashboard under deploy/ use metrics and labels that exist."""

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from dexexec.domain.outcome import Outcome
from dexexec.domain.sends import SendAnswer
from dexexec.domain.status import TERMINAL, Status
from tests.unit.docs.test_metrics_docs import documented

DEPLOY = Path(__file__).parents[3] / "deploy"
ALERTS = DEPLOY / "prometheus-alerts.yml"
DASHBOARD = DEPLOY / "grafana-dashboard.json"
USE = re.compile(r"(dexexec_[a-z_]+)(?:\{([^}]*)\})?")
AGGREGATION = re.compile(r"\b(?:sum|max|min|avg|count)\b")
BY = re.compile(r"\bby \(([^)]+)\)")
PARTS_OF_HISTOGRAMS = ("_bucket", "_sum", "_count")


def expressions() -> list[str]:
    return [alert["expr"] for alert in alerts()] + [target["expr"] for target in targets()]


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def targets() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return [target for panel in panels for target in panel["targets"]]


def remaining_labels(expression: str) -> set[str]:
    """The labels that the result of an expression has."""
    own = [set(documented()[metric_of(series)][1]) for series, _ in USE.findall(expression)]
    if not AGGREGATION.search(expression):
        return set.intersection(*own)
    kept = [set(re.split(r",\s*", labels)) for labels in BY.findall(expression)]
    return set.intersection(*kept) - {"le"} if kept else set()


VALUES: dict[tuple[str, str], set[str]] = {
    ("dexexec_orders_ended_total", "status"): {str(status) for status in TERMINAL | {Status.CONFIRMED}},
    ("dexexec_attempts_ended_total", "outcome"): {str(outcome) for outcome in Outcome if outcome.proven},
    ("dexexec_endpoint_attempts_total", "answer"): {str(answer) for answer in SendAnswer},
    ("dexexec_endpoint_attempts_total", "landed"): {"true", "false"},
    ("dexexec_requests_refused_total", "status"): {str(status) for status in range(400, 600)},
    ("dexexec_wallet_balance_base_units", "mint"): {"lamports"},
}
"""The values that a label may have, where an expression selects by it."""


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


def test_an_expression_groups_by_labels_of_its_metrics() -> None:
    for expression in expressions():
        for (series, _), labels in product(USE.findall(expression), BY.findall(expression)):
            kind, own = documented()[metric_of(series)]
            histogram = {"le"} if kind == "histogram" and series.endswith("_bucket") else set()
            assert set(re.split(r",\s*", labels)) <= set(own) | histogram, expression


def test_an_expression_selects_values_that_its_labels_have() -> None:
    selections = [use for expression in expressions() for use in USE.findall(expression) if use[1]]
    assert len(selections) >= 6
    for series, selection in selections:
        for label, operator, value in re.findall(r'([a-z]+)(=~|=)"([^"]*)"', selection):
            known = VALUES[(metric_of(series), label)]
            wanted = value.split("|") if operator == "=~" else [re.escape(value)]
            for pattern in wanted:
                assert any(re.fullmatch(pattern, each) for each in known), (series, label, pattern)


def test_texts_name_labels_that_the_result_has() -> None:
    for alert in alerts():
        named = set(re.findall(r"\$labels\.([a-z_]+)", str(alert["annotations"])))
        assert named <= remaining_labels(alert["expr"]), alert["alert"]
    for target in targets():
        named = set(re.findall(r"\{\{([a-z_]+)\}\}", target["legendFormat"]))
        assert named == remaining_labels(target["expr"]), target["expr"]


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
