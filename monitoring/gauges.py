"""What was found, left beside the record for the servers that write it: they tell Prometheus (served/verdicts.py)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from monitoring.drift import LEVEL, alarms
from monitoring.files import draft_of, put
from monitoring.record import LOCK
from monitoring.verdict import Expected, Level, Verdict
from monitoring.windows import Watched
from served.verdicts import file_of

TELLING_ITEMS = 100  # of a window; of fewer nearly everything may be chance
HELP = {
    "model_verdict": "1 for the verdict of monitor, 0 for the two others",
    "model_watched_timestamp_seconds": "When monitor looked last, in seconds since 1970",
    "model_drift_severity": "Of what differs most in the latest window, 0 to 1",
    "model_drift_alarms": "How many numbers differ in the latest window beyond chance",
    "model_accuracy": "In the latest window, by labels or estimated without; none where it cannot be told",
    "model_accuracy_low": "Lower end of its 95 % interval",
    "model_accuracy_high": "Upper end of the same",
    "model_accuracy_validation": "On the validation split",
    "model_error": "Mean absolute error in the latest window, by labels",
    "model_error_validation": "The same on the validation split",
}


def leave(folder: Path, name: str, metrics: Sequence[Mapping[str, Any]]) -> None:
    """Leaves metrics of a registered model in the folder of the record, in place of those that are there."""
    target = folder / file_of(name)
    with FileLock(folder / LOCK):  # whoever packs the record removes drafts
        draft_of(target).write_text(json.dumps({"metrics": list(metrics)}), encoding="utf-8")
        put(target)


def gauges(
    windows: Sequence[Watched], verdict: Verdict, known: Mapping[str, Expected], now: float
) -> Iterator[dict[str, Any]]:
    """The metrics that tell what was found.

    Args:
        windows: That were looked at, the latest last. They tell of the latest that could be compared and has
            TELLING_ITEMS or more, so not of one that has just begun; where none has, of the latest compared.
        verdict: On all of them.
        known: Of the versions, by source.
        now: When, in seconds since 1970.
    """
    for level in Level:
        yield _metric("model_verdict", float(level == verdict.level), verdict=level.word)
    yield _metric("model_watched_timestamp_seconds", now)
    compared = [one for one in windows if one.findings]
    telling = [one for one in compared if one.items >= TELLING_ITEMS] or compared
    if telling:
        yield from _of_window(telling[-1], known.get(telling[-1].source, Expected()))


def _of_window(window: Watched, expected: Expected) -> Iterator[dict[str, Any]]:
    version = window.source.rpartition("/")[2]
    yield _metric("model_drift_severity", max(one.severity for one in window.findings), version=version)
    yield _metric("model_drift_alarms", len(alarms(window.findings, LEVEL)), version=version)
    for output, value in expected.accuracies.items():
        yield _metric("model_accuracy_validation", value, version=version, output=output)
    for output, value in expected.errors.items():
        yield _metric("model_error_validation", value, version=version, output=output)
    for output, error in window.errors.items():
        yield _metric("model_error", error.value, version=version, output=output)
    for source, known in (("estimate", window.estimates), ("labels", window.measured)):
        for output, figure in known.items():
            of = {"version": version, "output": output, "by": source}
            if figure.value is not None:
                yield _metric("model_accuracy", figure.value, **of)
                yield _metric("model_accuracy_low", figure.low, **of)
                yield _metric("model_accuracy_high", figure.high, **of)


def _metric(name: str, value: float, **labels: str) -> dict[str, Any]:
    return {"name": name, "help": HELP[name], "labels": labels, "value": float(value)}
