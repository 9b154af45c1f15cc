"""What monitor found, as Prometheus hears it of the servers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import prometheus_client
import pytest

from monitoring.drift import Finding
from monitoring.estimate import Estimate
from monitoring.gauges import gauges, leave
from monitoring.verdict import Expected, Level, Reason, Verdict
from monitoring.windows import Measured, Watched
from served.verdicts import Found, file_of

WINDOW = Watched(
    "models:/digits/3",
    3600.0,
    7200.0,
    500,
    {},
    (0.001, 0.002, 0.003),
    findings=(Finding("ink", 0.5, 0.4, 1e-9), Finding("mean", 0.03, 0.0, 0.4)),
    estimates={"": Estimate(0.91, 0.88, 0.94)},
    measured={"": Measured(0.9, 0.85, 0.93, 200)},
    errors={"weight": Measured(2.5, 2.0, 3.0, 200)},
)
EMPTY = Watched("models:/digits/4", 7200.0, 10800.0, 0, {})
KNOWN = {"models:/digits/3": Expected({"": 0.97}, {"weight": 2.2})}
VERDICT = Verdict(Level.RETRAIN, (Reason(Level.RETRAIN, "It does harm."),))


@pytest.fixture
def told(tmp_path: Path) -> prometheus_client.CollectorRegistry:
    """What a server of digits tells of the record in `tmp_path`."""
    registry = prometheus_client.CollectorRegistry()
    registry.register(Found(tmp_path, "digits"))
    return registry


def test_servers_tell_what_was_found_last(told: prometheus_client.CollectorRegistry, tmp_path: Path) -> None:
    assert list(told.collect()) == []  # nobody has watched yet
    leave(tmp_path, "digits", list(gauges([WINDOW, EMPTY], VERDICT, KNOWN, 9000.0)))
    leave(tmp_path, "mnist", list(gauges([], Verdict(Level.FINE, ()), {}, 1.0)))  # of another model
    value = told.get_sample_value
    assert [value("model_verdict", {"verdict": word}) for word in ("fine", "watch", "retrain")] == [0, 0, 1]
    assert value("model_watched_timestamp_seconds") == 9000.0
    assert value("model_drift_severity", {"version": "3"}) == 0.4
    assert value("model_drift_alarms", {"version": "3"}) == 1
    assert value("model_accuracy", {"version": "3", "output": "", "by": "estimate"}) == 0.91
    assert value("model_accuracy_low", {"version": "3", "output": "", "by": "labels"}) == 0.85
    assert value("model_accuracy_validation", {"version": "3", "output": ""}) == 0.97
    leave(tmp_path, "digits", list(gauges([], Verdict(Level.FINE, ()), {}, 9999.0)))
    assert value("model_verdict", {"verdict": "retrain"}) == 0
    assert value("model_drift_severity", {"version": "3"}) is None


def test_a_window_that_has_just_begun_tells_nothing_yet(
    told: prometheus_client.CollectorRegistry, tmp_path: Path
) -> None:
    begun = dataclasses.replace(WINDOW, begin=7200.0, end=7260.0, items=30, findings=(Finding("ink", 0.1, 0.0, 0.9),))
    leave(tmp_path, "digits", list(gauges([WINDOW, begun], VERDICT, KNOWN, 7260.0)))
    assert told.get_sample_value("model_drift_severity", {"version": "3"}) == 0.4
    assert told.get_sample_value("model_accuracy", {"version": "3", "output": "", "by": "labels"}) == 0.9
    leave(tmp_path, "digits", list(gauges([begun], VERDICT, KNOWN, 7260.0)))  # better than nothing
    assert told.get_sample_value("model_drift_severity", {"version": "3"}) == 0.0


def test_an_accuracy_that_cannot_be_told_is_not(told: prometheus_client.CollectorRegistry, tmp_path: Path) -> None:
    withheld = Watched(WINDOW.source, 0.0, 1.0, 500, {}, findings=WINDOW.findings, estimates={"": Estimate(None)})
    leave(tmp_path, "digits", list(gauges([withheld], VERDICT, KNOWN, 9000.0)))
    assert told.get_sample_value("model_drift_severity", {"version": "3"}) == 0.4
    assert told.get_sample_value("model_accuracy", {"version": "3", "output": "", "by": "estimate"}) is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"metrics": 7}',
        '{"metrics": [{}]}',
        '{"metrics": [{"name": "model_x", "help": "", "labels": [], "value": 1}]}',
        '{"metrics": [{"name": "model_x", "help": "", "labels": {}, "value": "1"}]}',
        '{"metrics": [{"name": "up", "help": "", "labels": {}, "value": 1}]}',
        '{"metrics": [{"name": "model_x y", "help": "", "labels": {}, "value": 1}]}',
        "[" * 100_000,
    ],
)
def test_a_file_of_something_else_is_left_out(
    told: prometheus_client.CollectorRegistry, tmp_path: Path, content: str
) -> None:
    (tmp_path / file_of("digits")).write_text(content)
    assert prometheus_client.generate_latest(told) == b""


def test_without_a_record_there_is_nothing_to_tell(tmp_path: Path) -> None:
    leave(tmp_path, "digits", list(gauges([], VERDICT, {}, 1.0)))
    assert list(Found(None, "digits").collect()) == []
