from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from monitoring.drift import alarms
from monitoring.profile import Profile
from monitoring.record import Traffic
from monitoring.reference import Reference
from monitoring.windows import Watched, watched
from served.features import ANSWER

GENERATOR = np.random.default_rng(1)
PROFILE = Profile(500, {ANSWER: Reference.of(GENERATOR.normal(size=500))}, {}, {}, {}, {}, {})


@pytest.mark.parametrize(
    ("begin", "hours", "said"),
    [(3600.0, 1, "01 Jan 01:00 to 02:00"), (3600.0 * 21, 8, "01 Jan 21:00 to 02 Jan 05:00")],
)
def test_a_window_that_ends_on_another_day_says_which(begin: float, hours: int, said: str) -> None:
    assert Watched("models:/diabetes/1", begin, begin + 3600 * hours, 5, {}).when == said


def rows(values: np.ndarray) -> pd.DataFrame:
    same = {"source": "models:/diabetes/1", "type": "prediction", "time": 1.0, "seconds": 0.01, "output": ""}
    empty = {"label": None, "confidence": None, "kind": None}
    return pd.DataFrame({"id": [f"r{place}" for place in range(len(values))], "value": values} | same | empty)


def test_numbers_that_are_answered_are_compared() -> None:
    """They stand in the rows of the record, not among what describes inputs."""
    for mean, drifts in ((0, False), (1, True)):
        served = rows(GENERATOR.normal(mean, 1, 200))
        found = watched(Traffic(served, {}, served[:0]), "models:/diabetes/1", 0, 60, PROFILE, {})
        assert [one.name for one in found.findings] == [ANSWER]
        assert bool(alarms(found.findings)) == drifts


def test_numbers_are_measured_by_labels() -> None:
    """Errors of 1 and 3, half of each: their mean is 2, and its 95 % interval 2 ± 1.96 * 1.0050 / sqrt(100)."""
    served = rows(np.zeros(120))
    labels = {f"r{place}": "1" if place % 2 else "-3" for place in range(100)} | {"r110": "many"}
    profile = dataclasses.replace(PROFILE, errors={"": 1.5})
    found = watched(Traffic(served, {}, served[:0]), "models:/diabetes/1", 0, 60, profile, labels).errors[""]
    assert (found.value, found.examples) == (2.0, 100)
    assert (found.low, found.high) == pytest.approx((2 - 0.19698, 2 + 0.19698), abs=1e-4)
    few = dict(list(labels.items())[:29])
    assert watched(Traffic(served, {}, served[:0]), "models:/diabetes/1", 0, 60, profile, few).errors == {}
