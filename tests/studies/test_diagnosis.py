"""Diagnoses by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from studies.diagnosis import DataDiagnosis, diagnose, diagnose_data
from studies.outcome import Outcome, Repeat
from tasks.contract import Config, Primary, Study

ACCURACY = Primary("accuracy", floor=0.9, margin=0.01, attainable=0.99)
ERROR = Primary("error", floor=0.5, margin=0.01, attainable=0.02, higher_is_better=False, share=False)
CONFIG = Config("dense", 1, 1, 0.1)


@pytest.mark.parametrize(
    ("primary", "trained", "validated", "kind", "bias", "variance"),
    [
        (ACCURACY, 0.90, 0.89, "high bias", 0.09, 0.01),
        (ACCURACY, 1.00, 0.95, "high variance", 0.0, 0.05),
        (ACCURACY, 0.95, 0.90, "high variance", 0.04, 0.05),
        (ACCURACY, 0.985, 0.98, "balanced", 0.005, 0.005),
        (ACCURACY, 0.982, 0.985, "balanced", 0.008, 0.0),
        (ERROR, 0.30, 0.32, "high bias", 0.28, 0.02),
        (ERROR, 0.01, 0.09, "high variance", 0.0, 0.08),
    ],
)
def test_the_larger_part_is_named(
    primary: Primary, trained: float, validated: float, kind: str, bias: float, variance: float
) -> None:
    found = diagnose(primary, trained, validated)
    assert found.kind == kind
    assert found.bias == pytest.approx(bias)
    assert found.variance == pytest.approx(variance)


def along_data(values: dict[int, list[float]]) -> Outcome:
    study = Study("?", {str(size): replace(CONFIG, train_examples=size) for size in values}, by_examples=True)
    repeats = [
        Repeat(str(size), seed, "", {"val_accuracy": value, "train_examples": size}, {})
        for size, row in values.items()
        for seed, value in enumerate(row, 1)
    ]
    return Outcome("digits", "data", study, ACCURACY, repeats)


def test_more_data_helps_where_the_last_increase_did() -> None:
    found = diagnose_data(along_data({400: [0.96, 0.961, 0.962], 100: [0.8, 0.8, 0.8], 200: [0.93, 0.932, 0.931]}))
    assert isinstance(found, DataDiagnosis)
    assert (found.helps, found.fewer, found.most) == (True, 200, 400)
    assert found.gain == pytest.approx(0.03)


def test_more_data_does_not_help_where_the_curve_is_flat() -> None:
    found = diagnose_data(along_data({200: [0.95, 0.96, 0.955], 400: [0.952, 0.956, 0.957]}))
    assert found is not None
    assert not found.helps


def test_without_different_amounts_of_data_there_is_nothing_to_say() -> None:
    assert diagnose_data(along_data({200: [0.9, 0.9]})) is None
    assert diagnose_data(along_data({200: [0.9], 400: [0.91]})) is None
