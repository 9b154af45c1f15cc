"""Bias or variance: what is wrong with a model, by a rule that can be read (after Ng 2018, chapters 20 to 28)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from studies.outcome import Outcome
from studies.statistics import difference, summarize
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
        helps: Whether the last increase of the examples did, distinguishably.
        fewer: Examples before the last increase.
        most: Examples after it.
        gain: What it brought, in the primary metric; above 0 is better.
        half_width: Of the 95 % interval of the gain.
    """

    helps: bool
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
    sign = 1 if primary.higher_is_better else -1
    bias = max(0.0, sign * (primary.attainable - trained))
    variance = max(0.0, sign * (trained - validated))
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


def diagnose_data(outcome: Outcome) -> DataDiagnosis | None:
    """From a study along the number of training examples; None for any other, and where too few runs have a result."""
    if not outcome.study.by_examples:
        return None
    sizes: dict[int, str] = {}
    for variant in outcome.study.variants:
        if done := outcome.of(variant):
            sizes[int(done[0].metrics["train_examples"])] = variant
    if len(sizes) < 2:
        return None
    fewer, most = sorted(sizes)[-2:]
    values = [outcome.values(sizes[size], outcome.metric) for size in (most, fewer)]
    if len(values[0].keys() & values[1].keys()) < 2:
        return None
    sign = 1 if outcome.primary.higher_is_better else -1
    found = difference(sizes[most], sizes[fewer], *values)
    helps = found.distinguishable and sign * found.mean > 0
    return DataDiagnosis(helps, fewer, most, sign * found.mean, found.half_width)
