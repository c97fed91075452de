"""What became of attempts, by endpoint."""

from typing import Any

from dexexec.observe.metrics import Metrics
from dexexec.observe.metrics.instruments import PrometheusInstruments


def sends(endpoint: str, answer: str, slots: int | None) -> dict[str, Any]:
    milliseconds = None if slots is None else slots * 200
    return {"endpoint": endpoint, "answer": answer, "landingSlots": slots, "landingMs": milliseconds}


def test_attempts_are_counted_by_answer_and_landings_only_where_it_was_accepted() -> None:
    make = PrometheusInstruments()
    metrics = Metrics(make)
    metrics.attempt_sent([sends("a.example", "accepted", 2), sends("b.example", "refused", 2)], landed=True)
    metrics.attempt_sent([sends("a.example", "accepted", None)], landed=False)
    assert metrics.exposition is not None
    text = metrics.exposition.text([])[0].decode()
    for line in (
        'dexexec_endpoint_attempts_total{answer="accepted",endpoint="a.example",landed="true"} 1.0',
        'dexexec_endpoint_attempts_total{answer="accepted",endpoint="a.example",landed="false"} 1.0',
        'dexexec_endpoint_attempts_total{answer="refused",endpoint="b.example",landed="true"} 1.0',
        'dexexec_endpoint_landing_slots_sum{endpoint="a.example"} 2.0',
        'dexexec_endpoint_landing_seconds_sum{endpoint="a.example"} 0.4',
    ):
        assert line in text
    assert 'landing_slots_sum{endpoint="b.example"}' not in text
