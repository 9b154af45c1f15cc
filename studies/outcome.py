"""What came out of a study: one record a training run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.contract import Primary, Study


@dataclass(frozen=True)
class Repeat:
    """One variant trained with one seed.

    Attributes:
        variant: Its name.
        seed: What it was trained with.
        run_id: Of its run, empty where there is none.
        metrics: Final values by name with the split, e.g. "val_accuracy".
        curves: Values after each epoch by the same names, and "epoch_seconds".
        failure: Why it has no result, in one line; empty where it has one.
    """

    variant: str
    seed: int
    run_id: str
    metrics: Mapping[str, float]
    curves: Mapping[str, Sequence[float]]
    failure: str = ""

    def epochs_to(self, primary: Primary, target: float) -> int | None:
        """The first epoch after which the validation split's metric has reached the target; None if it never did."""
        sign = primary.sign
        values = self.curves[f"val_{primary.name}"]
        return next((epoch for epoch, value in enumerate(values, 1) if sign * value >= sign * target), None)

    def seconds_to(self, epochs: int) -> float:
        """How long so many epochs took."""
        return math.fsum(self.curves["epoch_seconds"][:epochs])


@dataclass(frozen=True)
class Outcome:
    """A study and all its runs.

    Attributes:
        task: Name of the task.
        name: Of the study.
        study: What was asked.
        primary: The metric that decides.
        repeats: The runs, in the order of variants and seeds.
    """

    task: str
    name: str
    study: Study
    primary: Primary
    repeats: Sequence[Repeat]

    @property
    def metric(self) -> str:
        """The primary metric on the validation split."""
        return f"val_{self.primary.name}"

    def of(self, variant: str) -> list[Repeat]:
        """The variant's runs that have a result."""
        return [repeat for repeat in self.repeats if repeat.variant == variant and not repeat.failure]

    def values(self, variant: str, metric: str) -> dict[int, float]:
        """The variant's final values by seed."""
        return {repeat.seed: repeat.metrics[metric] for repeat in self.of(variant)}

    @property
    def failures(self) -> list[Repeat]:
        return [repeat for repeat in self.repeats if repeat.failure]
