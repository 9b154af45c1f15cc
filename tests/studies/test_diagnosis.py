"""Diagnoses by hand."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from studies.diagnosis import DataDiagnosis, diagnose, diagnose_data
from studies.outcome import Outcome, Repeat
from studies.report import Report
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


def along_data(values: dict[int, list[float]]) -> Report:
    study = Study("?", {str(size): replace(CONFIG, train_examples=size) for size in values}, by_examples=True)
    repeats = [
        Repeat(
            str(size),
            seed,
            "",
            {"val_accuracy": value, "trained_accuracy": 0.98, "train_examples": size},
            {"val_loss": [0.5], "epoch_seconds": [1.0]},
        )
        for size, row in values.items()
        for seed, value in enumerate(row, 1)
    ]
    return Report(Outcome("digits", "data", study, ACCURACY, repeats), "")


def said(report: Report) -> list[str]:
    return [sentence for sentence in report.sentences() if "ore data" in sentence]


def test_more_data_helps_where_the_last_increase_did() -> None:
    report = along_data({200: [0.93, 0.932, 0.931], 400: [0.96, 0.961, 0.962], 100: [0.8, 0.8, 0.8]})
    study = replace(report.outcome.study, comparisons=(("400", "200"), ("200", "100")))
    report = replace(report, outcome=replace(report.outcome, study=study))
    found = diagnose_data(report.outcome, report.comparisons)
    assert isinstance(found, DataDiagnosis)
    assert (found.distinguishable, found.fewer, found.most) == (True, 200, 400)
    assert found.gain == pytest.approx(0.03)
    size = "3\\.00 ± 0\\.25 points"
    assert re.fullmatch(
        f"More data would help: from 200 to 400 examples the model became better by {size}\\.", said(report)[0]
    )


def test_whether_more_data_helps_is_left_open_where_the_curve_is_flat() -> None:
    assert said(along_data({200: [0.95, 0.96, 0.955], 400: [0.952, 0.956, 0.957]})) == [
        "Whether more data would help cannot be told: from 200 to 400 examples made no distinguishable difference."
    ]


def test_where_more_data_made_it_worse_that_is_said() -> None:
    (sentence,) = said(along_data({200: [0.95, 0.952, 0.951], 400: [0.90, 0.901, 0.902]}))
    assert sentence.startswith("More data would not help: from 200 to 400 examples the model became worse by 5.00 ±")


def test_without_different_amounts_of_data_there_is_nothing_to_say() -> None:
    assert said(along_data({200: [0.9, 0.9]})) == []
    assert said(along_data({200: [0.9], 400: [0.91]})) == []
