from __future__ import annotations

import numpy as np
import pandas as pd

from monitoring.drift import alarms
from monitoring.profile import Profile
from monitoring.record import Traffic
from monitoring.reference import Reference
from monitoring.windows import watched
from served.features import ANSWER

GENERATOR = np.random.default_rng(1)
PROFILE = Profile(500, {ANSWER: Reference.of(GENERATOR.normal(size=500))}, {}, {}, {}, {}, {})


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
