"""Bias or variance: what is wrong with a model, by a rule that can be read (after Ng 2018, chapters 20 to 28)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from studies.outcome import Outcome
from studies.statistics import Difference, summarize
from tasks.contract import Primary

Kind = Literal["high bias", "high variance", "balanced"]


@dataclass(frozen=True)
class Diagnosis:
    """What a variant suffers from.

    Attributes:
        kind: The larger of the two, if it is above the task's margin.
        bias: How far the training split is from what is attainable, at least 0.
        variance: How far the validation split is from the training split, at least 0.
        margin: What still counts as nothing.
    """

    kind: Kind
    bias: float
    variance: float
    margin: float


@dataclass(frozen=True)
class DataDiagnosis:
    """Whether more examples would help.

    Attributes:
        distinguishable: Whether the last increase of the examples made a difference.
        fewer: Examples before the last increase.
        most: Examples after it.
        gain: What it brought, in the primary metric; above 0 is better.
        half_width: Of the 95 % interval of the gain.
    """

    distinguishable: bool
    fewer: int
    most: int
    gain: float
    half_width: float


def diagnose(primary: Primary, trained: float, validated: float) -> Diagnosis:
    """Where a model's error comes from.

    Args:
        primary: The metric.
        trained: Its value on examples of the training split, measured as validation is: dropout off, weights final.
        validated: Its value on the validation split.
    """
    bias = max(0.0, primary.sign * (primary.attainable - trained))
    variance = max(0.0, primary.sign * (trained - validated))
    kind: Kind = "balanced"
    if max(bias, variance) > primary.margin:
        kind = "high bias" if bias > variance else "high variance"
    return Diagnosis(kind, bias, variance, primary.margin)


def diagnose_variant(outcome: Outcome, variant: str) -> Diagnosis:
    """By the means over its repeats."""
    trained = outcome.values(variant, f"trained_{outcome.primary.name}")
    return diagnose(
        outcome.primary,
        summarize(list(trained.values())).mean,
        summarize(list(outcome.values(variant, outcome.metric).values())).mean,
    )


def diagnose_data(outcome: Outcome, comparisons: Sequence[Difference]) -> DataDiagnosis | None:
    """From a study along the number of training examples; None for any other, and where the two largest numbers were
    not compared.

    Args:
        outcome: The study.
        comparisons: What it tested.
    """
    if not outcome.study.by_examples:
        return None
    sizes: dict[int, str] = {}
    for variant in outcome.study.variants:
        if done := outcome.of(variant):
            sizes[int(done[0].metrics["train_examples"])] = variant
    if len(sizes) < 2:
        return None
    fewer, most = sorted(sizes)[-2:]
    pair = (sizes[most], sizes[fewer])
    found = next((one for one in comparisons if (one.first, one.second) == pair and one.count > 1), None)
    if found is None:
        return None
    return DataDiagnosis(found.distinguishable, fewer, most, outcome.primary.sign * found.mean, found.half_width)
