"""What the scoring server of MLflow tells Prometheus about a model."""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path

import numpy as np
import prometheus_client
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from served import metrics
from serving.rehearsal import read_golden
from serving.server import Client, free_port, scoring_server


def samples(port: int) -> dict[tuple[str, tuple[str, ...]], float]:
    """Values by name and labels' values; a text that is no valid exposition raises."""
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
    families = text_string_to_metric_families(text)
    return {(s.name, tuple(s.labels.values())): s.value for family in families for s in family.samples}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_totals_are_right_with_any_number_of_workers(saved: Path, tmp_path: Path, workers: int) -> None:
    items = read_golden(saved).items("bytes")
    body, bad = json.dumps({"inputs": items[:2]}).encode(), json.dumps({"inputs": ["seven!"]}).encode()
    metrics_port = free_port()

    def ask(port: int) -> None:
        for _ in range(5):
            client = Client(port)  # on new connections, so that every worker gets some
            for _ in range(24):
                assert client.invoke(body).status == 200
            assert client.invoke(bad).status == 400

    with scoring_server(saved, workers, METRICS_PORT=str(metrics_port), TMPDIR=str(tmp_path)) as port:
        clients = [threading.Thread(target=ask, args=(port,)) for _ in range(8)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        time.sleep((workers > 1) * (metrics.SHARED_SECONDS + 0.5))
        values = samples(metrics_port)
    assert values["model_requests_total", ()] == 1000
    assert values["model_errors_total", ("encoding",)] == 40
    assert values["model_seconds_count", ()] == 960
    assert values["model_batch_items_sum", ()] == 1920
    assert sum(value for (name, _), value in values.items() if name == "model_predictions_total") == 1920
    assert values["model_confidence_count", ("",)] == 1920
    if workers > 1:
        counting = {re.sub(r"\D", "", file.stem) for file in tmp_path.rglob("counter_*.db")}
        assert len(counting) == workers


def test_many_requests_at_once_count_as_each_of_them_does() -> None:
    values = [0.00005, 0.0001, 0.00011, 0.3, 5, 7, 0.3]  # on a bound, between two, and above all
    registry = prometheus_client.CollectorRegistry()
    many, one = (prometheus_client.Histogram(name, "", buckets=metrics.SECONDS, registry=registry) for name in "ab")
    metrics.observe(many, values)
    for value in values:
        one.observe(value)
    sums = [
        [sample[2] for sample in histogram._child_samples() if "created" not in sample[0]] for histogram in (many, one)
    ]
    assert sums[0] == pytest.approx(sums[1], rel=1e-12)


def test_whoever_asks_gets_all_that_was_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = prometheus_client.CollectorRegistry()
    counted = metrics.Metrics(registry, "digits", "1", {"": ["cat", "dog"]})
    answers = np.array([[0.9, 0.1], [0.4, 0.6]])
    for number in range(metrics.MOST_SEEN + 3):
        counted.observed(lambda items: answers[items], [0, 1] if number == 7 else [1])
    total = registry.get_sample_value
    assert total("model_requests_total") == metrics.MOST_SEEN + 3
    assert total("model_predictions_total", {"output": "", "label": "cat"}) == 1
    assert total("model_predictions_total", {"output": "", "label": "dog"}) == metrics.MOST_SEEN + 3
    assert total("model_batch_items_bucket", {"le": "1.0"}) == metrics.MOST_SEEN + 2
    assert total("model_confidence_sum", {"output": ""}) == pytest.approx(0.9 + 0.6 * (metrics.MOST_SEEN + 3))


def test_who_is_answered(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a container only this machine, unless METRICS_HOST says otherwise."""
    asked = []
    monkeypatch.setattr(prometheus_client, "start_http_server", lambda port, host, _: asked.append((host, port)))
    monkeypatch.setattr(metrics, "IN_A_CONTAINER", ("/no/such/sign",))
    assert metrics.serve_metrics(saved, {})
    monkeypatch.setattr(metrics, "IN_A_CONTAINER", (str(saved),))
    assert metrics.serve_metrics(saved, {})
    monkeypatch.setenv("METRICS_HOST", "10.0.0.1")
    monkeypatch.setenv("METRICS_PORT", "9000")
    assert metrics.serve_metrics(saved, {})
    assert asked == [("127.0.0.1", 9464), ("0.0.0.0", 9464), ("10.0.0.1", 9000)]
    monkeypatch.setenv("METRICS_PORT", "0")
    assert metrics.serve_metrics(saved, {}) is None
    assert len(asked) == 3


@pytest.mark.slow
def test_a_second_server_on_the_same_machine_goes_without(saved: Path) -> None:
    port = str(free_port())
    with scoring_server(saved, METRICS_PORT=port), scoring_server(saved, METRICS_PORT=port) as second:
        body = json.dumps(read_golden(saved).requests[0]["body"]).encode()
        assert Client(second).invoke(body).status == 200
        assert samples(int(port))["model_requests_total", ()] == 0
