"""The report's sentences, numbers and page, on made-up runs."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from studies.outcome import Outcome, Repeat
from studies.report import Report
from tasks.contract import Config, Primary, Study

ACCURACY = Primary("accuracy", floor=0.9, margin=0.01, attainable=0.99)
CONFIG = Config("dense", 3, 32, 0.1)


def repeat(variant: str, seed: int, final: float, trained: float = 0.98, curve: tuple[float, ...] = ()) -> Repeat:
    curve = curve or (0.5, 0.7, final)
    metrics = {"val_accuracy": final, "trained_accuracy": trained, "train_examples": 100.0}
    losses = [0.9, 0.3, 0.6]
    curves = {"val_accuracy": curve, "train_accuracy": curve, "val_loss": losses, "train_loss": losses}
    return Repeat(variant, seed, f"run{seed}", metrics, curves | {"epoch_seconds": (9.0, 1.0, 2.0)})


def report(repeats: list[Repeat], primary: Primary = ACCURACY, target: float | None = None) -> Report:
    names = dict.fromkeys(r.variant for r in repeats)
    study = Study(
        "Which is best?", {name: replace(CONFIG, batch_size=i + 1) for i, name in enumerate(names)}, target=target
    )
    return Report(Outcome("digits", "some", study, primary, repeats), "the-run")


CLEAR = [repeat("<plain>", seed, 0.90 + 0.001 * (seed % 2)) for seed in range(1, 6)] + [
    repeat("better", seed, 0.95 + 0.002 * (seed % 3)) for seed in range(1, 6)
]


def test_a_clear_difference_is_said_with_its_size() -> None:
    best, verdict, *_ = report(CLEAR).sentences()
    assert best == "Highest mean val_accuracy: better, 95.24 ± 0.17 %."  # 95.2, 95.4, 95.0, 95.2, 95.4
    assert re.fullmatch(
        r"better beats <plain> by 5\.\d\d ± 0\.\d\d points \(n = 5, p < 0\.001, d = \d+\.\d\)\.", verdict
    )


def test_what_is_not_distinguishable_is_said_with_how_many_repeats_would_tell() -> None:
    close = [repeat("a", 1, 0.90), repeat("a", 2, 0.92), repeat("a", 3, 0.91)]
    close += [repeat("b", 1, 0.91), repeat("b", 2, 0.915), repeat("b", 3, 0.915)]
    _, verdict, *_ = report(close).sentences()
    expected = r"b and a are not distinguishable at n = 3: b leads by 0\.33 ± 1\.90 points; if that is real, about \d+ "
    assert re.match(expected, verdict)


def test_where_lower_is_better_the_lower_one_wins() -> None:
    error = replace(ACCURACY, higher_is_better=False, share=False)
    best, verdict, *_ = report(CLEAR, error).sentences()
    assert best.startswith("Lowest mean val_accuracy: <plain>, 0.9006")
    assert verdict.startswith("<plain> beats better by 0.0518 ± ")
    assert "points" not in verdict


def test_one_repeat_decides_nothing() -> None:
    sentences = report([repeat("a", 1, 0.5), repeat("b", 1, 0.9)], target=0.1).sentences()
    assert any(sentence.startswith("With one seed there is no spread") for sentence in sentences)
    assert not any("beats" in sentence or "distinguishable" in sentence for sentence in sentences)


def test_time_to_the_target_counts_epochs_and_their_seconds() -> None:
    rows = [repeat("slow", seed, 0.96, curve=(0.1, 0.94, 0.96)) for seed in (1, 2)]
    rows += [repeat("fast", seed, 0.96, curve=(0.1, 0.96, 0.95)) for seed in (1, 2)]
    rows += [repeat("never", seed, 0.9, curve=(0.1, 0.2, 0.95 if seed == 1 else 0.9)) for seed in (1, 2)]
    found = report(rows, target=0.95)
    by_name = {row.variant: row for row in found.rows}
    assert by_name["slow"].target_epochs is not None
    assert by_name["slow"].target_epochs.mean == 3
    assert by_name["slow"].target_seconds is not None
    assert by_name["slow"].target_seconds.mean == 12
    assert by_name["fast"].target_epochs is not None
    assert by_name["fast"].target_epochs.mean == 2
    assert by_name["never"].target_epochs is None
    assert "never reaches 95.00 % in 1 of 2 runs." in found.sentences()


def test_a_variant_that_sometimes_fails_to_reach_the_target_is_not_called_faster() -> None:
    rows = [repeat("safe", seed, 0.96, curve=(0.1, 0.94, 0.96)) for seed in range(1, 7)]
    rows += [
        repeat("risky", seed, 0.96, curve=(0.96, 0.94, 0.93) if seed < 6 else (0.1, 0.2, 0.3)) for seed in range(1, 7)
    ]
    found = report(rows, target=0.95)
    assert found.target_comparisons == []
    assert "risky reaches 95.00 % in 5 of 6 runs." in found.sentences()


def test_a_long_description_is_cut_at_the_end_of_a_line() -> None:
    names = [f"variant with a long name, number {number}" for number in range(60)]
    found = report([repeat(name, seed, 0.9 + seed / 100) for name in names for seed in (1, 2)])
    text = found.markdown()
    assert len(text) < 8_000
    assert text.count("\n- …\n\n| variant |") == 1


def test_overfitting_is_dated() -> None:
    date = "lowest after epoch 2.0, 100% higher at the end"
    assert f"Overfitting, by the validation loss: <plain> ({date}), better ({date})." in report(CLEAR).sentences()


def test_diagnoses_come_with_their_numbers() -> None:
    sentences = report([repeat("small", 1, 0.80, trained=0.81), repeat("large", 1, 0.90, trained=0.99)]).sentences()
    assert "High bias: small (18.00 points)." in sentences
    assert "High variance: large (9.00 points)." in sentences


def test_a_smaller_gap_between_the_splits_is_said_where_it_can_be_told() -> None:
    wide = [repeat("wide", seed, 0.95, trained=0.99 + 0.001 * seed) for seed in range(1, 6)]
    narrow = [repeat("narrow", seed, 0.95, trained=0.96) for seed in range(1, 6)]
    gaps = [s for s in report(wide + narrow).sentences() if "closer" in s]
    assert gaps == ["narrow is closer to its training split than wide by 3.30 ± 0.20 points (n = 5, p < 0.001)."]
    assert not [s for s in report(wide + [replace(r, variant="same") for r in wide]).sentences() if "closer" in s]


def test_a_failed_run_is_shown_with_its_reason_and_the_others_count() -> None:
    rows = [*CLEAR, Repeat("broken", 1, "", {}, {}, "the loss of epoch 1 is nan <b>")]
    found = report(rows)
    assert found.sentences()[-1] == "broken, seed 1 failed: the loss of epoch 1 is nan <b>"
    assert "the loss of epoch 1 is nan &lt;b&gt;" in found.html()
    assert found.metrics()["study_failed"] == 1
    assert [row.variant for row in found.rows] == ["<plain>", "better"]


def test_a_study_of_which_nothing_came_out_still_has_a_report() -> None:
    found = report([Repeat("a", 1, "", {}, {}, "no"), Repeat("b", 1, "", {}, {}, "no")])
    assert found.sentences()[0] == "No run has a result."
    assert "No run has a result." in found.html()
    assert found.figures == {}


@pytest.mark.parametrize("target", [None, 0.9])
def test_the_page_needs_nothing_but_itself(target: float | None) -> None:
    page = report(CLEAR, target=target).html()
    assert page.count("<svg") == 3
    assert "&lt;plain&gt;" in page
    assert "<plain>" not in page
    assert "<script" not in page
    assert not re.findall(r"(?:src|href)=\"(?!#)[^\"]*\"|url\((?!#)", page)


def test_numbers_are_json_and_the_page_is_the_same_every_time() -> None:
    assert (
        json.loads(json.dumps(report(CLEAR).numbers(), allow_nan=False))["variants"]["better"]["values"]["1"] == 0.952
    )
    assert report(CLEAR).html() == report(CLEAR).html()
