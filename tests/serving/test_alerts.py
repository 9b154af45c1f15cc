"""Alert rules and the dashboard, asked of a real Prometheus."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import prometheus_client
import pytest
import requests
import yaml
from mlflow import MlflowClient
from prometheus_client.parser import text_string_to_metric_families

from monitoring.gauges import HELP, gauges, leave
from monitoring.verdict import Level, Reason, Verdict
from served import metrics
from serving.server import free_port, running
from tests.conftest import ROOT
from tests.gateways import Gateway
from tests.monitoring.test_gauges import KNOWN, WINDOW

MONITORING = ROOT / "serving" / "monitoring"
DASHBOARD = json.loads((MONITORING / "grafana-dashboard.json").read_text())
ALERTS = yaml.safe_load((MONITORING / "alerts.yml").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]


def series(metric: str, values: str, instance: str = "a:9464", **labels: str) -> dict[str, str]:
    """As promtool has it, with a value a minute."""
    text = ",".join(f'{key}="{value}"' for key, value in {"instance": instance, **labels}.items())
    return {"series": f"{metric}{{{text}}}", "values": values}


def rising(metric: str, step: int, **labels: str) -> dict[str, str]:
    return series(metric, f"0+{step}x3000", **labels)


# What makes each alert fire, and when it has.
FIRING: dict[str, tuple[list[dict[str, str]], str]] = {
    "ModelDown": (
        [series("up", "1x5 0x3000", job="digits"), series("model_info", "1x5 stale", job="digits", name="digits")],
        "9m",
    ),
    "ModelFails": ([rising("model_errors_total", 1, kind="internal")], "15m"),
    "ModelBehindAlias": ([series("model_behind_alias", "1x3000")], "9m"),
    "ManyRequestsRefused": (
        [rising("model_errors_total", 20, kind="type"), rising("model_requests_total", 100)],
        "40m",
    ),
    "SlowPredictions": (
        [
            rising("model_seconds_bucket", 50, le="0.1"),
            rising("model_seconds_bucket", 100, le="0.25"),
            rising("model_seconds_bucket", 100, le="+Inf"),
        ],
        "20m",
    ),
    "TrafficLost": ([rising("model_traffic_lost_total", 3)], "20m"),
    "ModelNeedsTraining": ([series("model_verdict", "0x2 1x3000", verdict="retrain")], "9m"),
    "ModelDrifts": ([series("model_verdict", "0x2 1x3000", verdict="watch")], "9m"),
    "NobodyWatches": ([series("model_watched_timestamp_seconds", "0x3000")], "2d1h"),
    "UnsurePredictions": (
        [
            rising("model_confidence_bucket", 30, output="", le="0.6"),
            rising("model_confidence_count", 100, output=""),
        ],
        "80m",
    ),
    "OneClassOnly": (
        [
            rising("model_predictions_total", 100, output="", label="3"),
            rising("model_predictions_total", 5, output="", label="7"),
        ],
        "80m",
    ),
}


def promtool(*arguments: str) -> str:
    command = shutil.which("promtool")
    assert command is not None
    result = subprocess.run([command, *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_every_alert_is_tried() -> None:
    assert [rule["alert"] for rule in RULES] == list(FIRING)


@pytest.mark.tools
def test_promtool_accepts_the_alert_rules() -> None:
    assert f"SUCCESS: {len(RULES)} rules found" in promtool("check", "rules", str(MONITORING / "alerts.yml"))


@pytest.mark.tools
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_fires_where_it_should_and_nowhere_else(rule: dict, tmp_path: Path) -> None:
    given, when = FIRING[rule["alert"]]
    labels = rule["labels"] | {"instance": "a:9464"}
    labels |= {"job": "digits"} if rule["alert"] == "ModelDown" else {}
    words = {name: text.replace("{{ $labels.instance }}", "a:9464") for name, text in rule["annotations"].items()}
    case = {
        "interval": "1m",
        "input_series": [*given, series("up", "1x5 0x3000", "b:9100", job="node")],  # no server of models
        "alert_rule_test": [
            {"alertname": rule["alert"], "eval_time": "1m", "exp_alerts": []},
            {
                "alertname": rule["alert"],
                "eval_time": when,
                "exp_alerts": [{"exp_labels": labels, "exp_annotations": words}],
            },
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(MONITORING / "alerts.yml")], "tests": [case]}))
    assert "SUCCESS" in promtool("test", "rules", str(file))


def test_dashboard_and_alerts_ask_for_metrics_that_exist() -> None:
    registry = prometheus_client.CollectorRegistry()
    metrics.Metrics(registry, "digits", "1", {})
    text = prometheus_client.generate_latest(registry).decode()
    families = {family.name for family in text_string_to_metric_families(text)}
    gateways = {"http_requests", "http_request_seconds", "model_behind_alias", "model_shadow_items"}
    families |= gateways | HELP.keys()
    asked = {
        name
        for expression in (*QUERIES, *(rule["expr"] for rule in RULES))
        for name in re.findall(r"\b(?:model|http)_[a-z_]+", expression)
    }
    assert len(asked) > 8
    for name in asked:
        assert re.sub(r"_(total|bucket|count|sum)$", "", name) in families, name


def test_the_dashboard_finds_its_data_source_by_itself() -> None:
    (variable,) = [v for v in DASHBOARD["templating"]["list"] if v["type"] == "datasource"]
    assert variable["query"] == "prometheus"
    for panel in DASHBOARD["panels"]:
        assert panel["datasource"]["uid"] == "${" + variable["name"] + "}"


def test_panels_lie_side_by_side_and_say_what_they_show() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    places = np.zeros((100, 24), int)
    for panel in DASHBOARD["panels"]:
        x, y, width, height = (panel["gridPos"][side] for side in "xywh")
        assert x + width <= 24, panel["title"]
        places[y : y + height, x : x + width] += 1
        assert panel["type"] == "row" or panel["description"].endswith("."), panel["title"]
    lowest = int(places.any(axis=1).sum())
    assert (places[:lowest] == 1).all()


@contextlib.contextmanager
def prometheus(folder: Path, target: str) -> Iterator[str]:
    """A Prometheus that asks that target every second; gives its address."""
    command = shutil.which("prometheus")
    assert command is not None
    scrape = {"job_name": "digits", "scrape_interval": "1s", "static_configs": [{"targets": [target]}]}
    often = {"evaluation_interval": "1s"}
    config = {"global": often, "rule_files": [str(MONITORING / "alerts.yml")], "scrape_configs": [scrape]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    started = [command, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with running([*started, f"--web.listen-address=127.0.0.1:{port}"], port, "/-/ready"):
        yield f"http://127.0.0.1:{port}"


@pytest.mark.tools
def test_every_panel_shows_something(
    champion_store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion_store.set_registered_model_alias("digits", "challenger", "1")  # it agrees with itself
    traffic = tmp_path / "traffic"
    traffic.mkdir()
    monkeypatch.setenv("TRAFFIC_DIR", str(traffic))
    verdict = Verdict(Level.RETRAIN, (Reason(Level.RETRAIN, "It does harm."),))
    leave(traffic, "digits", list(gauges([WINDOW], verdict, KNOWN, time.time())))
    item = {"image": np.zeros((8, 8)).tolist()}
    with contextlib.ExitStack() as stack:
        gateway = stack.enter_context(Gateway(tmp_path, options=["--shadow", "1"]))
        gateway.wait()
        address = stack.enter_context(prometheus(tmp_path, gateway.url.removeprefix("http://")))
        for _ in range(12):
            requests.post(f"{gateway.url}/predict", json=item, timeout=5)
            requests.post(f"{gateway.url}/predict", json={}, timeout=5)
            time.sleep(1)
        for query in QUERIES:
            values = answers(address, query.replace("$instance", ".*").replace("$__rate_interval", "30s"))
            assert values, query
            assert not np.isnan(values).all(), query
        alerts = requests.get(f"{address}/api/v1/alerts", timeout=5).json()["data"]["alerts"]
        assert "ModelNeedsTraining" in {one["labels"]["alertname"] for one in alerts}


def answers(address: str, query: str) -> list[float]:
    """What a Prometheus answers to that."""
    answer = requests.get(f"{address}/api/v1/query", params={"query": query}, timeout=5).json()
    assert answer["status"] == "success", answer
    return [float(one["value"][1]) for one in answer["data"]["result"]]
