from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from monitoring.drift import alarms
from monitoring.profile import Calibration, Profile
from monitoring.record import Traffic
from monitoring.reference import Mix, Reference
from monitoring.windows import Unknown, Watched, watched
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


def test_labels_of_the_first_half_alone_are_no_fair_sample() -> None:
    """The second half is answered with more; labels of every other item show that, those of the first half do not."""
    served = rows(np.concatenate([GENERATOR.normal(0, 1, 100), GENERATOR.normal(2, 1, 100)]))
    profile = dataclasses.replace(PROFILE, errors={"": 1.5})
    for labelled, is_fair in ((range(0, 200, 2), True), (range(100), False), (range(180), True)):
        labels = {f"r{place}": "0" for place in labelled}
        found = watched(Traffic(served, {}, served[:0]), "models:/diabetes/1", 0, 60, profile, labels)
        assert found.errors[""].is_fair == is_fair, labelled


@pytest.mark.parametrize("label", ["71,0", "n/a", "inf", "-inf", "nan", "1e999"])
def test_what_is_no_number_is_no_error(label: str) -> None:
    """Forty errors of 2, and three labels that are no finite number."""
    served = rows(np.zeros(50))
    labels = {f"r{place}": "2.0" for place in range(40)} | {f"r{place}": label for place in (41, 42, 43)}
    profile = dataclasses.replace(PROFILE, errors={"": 1.5})
    found = watched(Traffic(served, {}, served[:0]), "models:/diabetes/1", 0, 60, profile, labels)
    assert (found.errors[""].value, found.errors[""].high, found.errors[""].examples) == (2.0, 2.0, 40)
    assert found.unknown == Unknown(3, repr(label), "finite numbers")
    assert len(found.labelled) == 43


def of_names(**names: list[str]) -> Profile:
    """The profile of a model that answers with labels, by the output."""
    shares = np.linspace(0, 1, 50)
    return Profile(
        500,
        {},
        {name: Mix.of(np.arange(500) % len(labels), len(labels)) for name, labels in names.items()},
        {name: Reference.of(shares) for name in names},
        names,
        {name: Calibration(np.array([0.0, 1.0]), np.array([0.0, 1.0]), 0.9) for name in names},
        {name: [] for name in names},
    )


def answered(output: str, places: list[float | None]) -> pd.DataFrame:
    same = {"label": places, "confidence": 0.9, "output": output}
    return rows(np.full(len(places), np.nan)).assign(**same)


TEN = [str(digit) for digit in range(10)]


@pytest.mark.parametrize(
    ("names", "given", "right", "strange"),
    [
        (TEN, "7", 1.0, None),
        (TEN, "7.0", 1.0, None),
        ([f"{name}.0" for name in TEN], "7", 1.0, None),
        ([*TEN, "7.0"], "7.0", 0.0, None),
        (TEN, "07", None, Unknown(40, "'07'", "'0', '1', '2' and 7 more")),
        (TEN, "unreadable", None, Unknown(40, "'unreadable'", "'0', '1', '2' and 7 more")),
        (["a.0", "b"] * 4, "a", None, Unknown(40, "'a'", "'a.0', 'b'")),
        (["barolo", "lugana"] * 4, "Barolo", None, Unknown(40, "'Barolo'", "'barolo', 'lugana'")),
        (["barolo", "lugana"] * 4, "1", None, Unknown(40, "'1'", "'barolo', 'lugana'")),
    ],
)
def test_labels_in_another_spelling_are_no_wrong_answers(
    names: list[str], given: str, right: float | None, strange: Unknown | None
) -> None:
    served = answered("", [7] * 50)
    labels = {f"r{place}": given for place in range(40)} | {"elsewhere": "none"}
    profile = of_names(**{"": names})
    found = watched(Traffic(served, {}, served[:0]), "models:/diabetes/1", 0, 60, profile, labels)
    assert found.unknown == strange
    assert (found.measured[""].value if found.measured else None) == right
    assert found.labelled == {f"r{place}" for place in range(40)}


def test_a_label_is_of_the_output_that_has_it() -> None:
    served = pd.concat([answered("colour", [0] * 70), answered("shape", [1] * 70)])
    labels = {f"r{place}": "red" if place < 30 else "square" for place in range(66)} | {"r66": "blue", "r67": "round"}
    profile = of_names(colour=["red", "green"], shape=["round", "square"])
    found = watched(Traffic(served, {}, served[:0]), "models:/diabetes/1", 0, 60, profile, labels)
    assert (found.measured["colour"].value, found.measured["colour"].examples) == (1.0, 30)
    assert (found.measured["shape"].value, found.measured["shape"].examples) == (36 / 37, 37)
    assert found.unknown == Unknown(1, "'blue'", "'red', 'green', 'round' and 1 more")


def test_answers_that_the_model_does_not_have_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    profile = of_names(**{"": TEN})
    served = answered("", [7] * 30 + [99, -1, None])
    for _ in range(2):
        found = watched(Traffic(served, {}, served[:0]), "models:/diabetes/1", 0, 60, profile, {})
        assert (found.items, found.mix[""]["7"]) == (33, 1.0)
    assert len(caplog.messages) == 1
    assert "recorded of models:/diabetes/1 with a label at another place than 0 to 9" in caplog.text
    none = answered("", [99] * 30)
    assert watched(Traffic(none, {}, none[:0]), "models:/diabetes/1", 0, 60, profile, {}).mix == {}
