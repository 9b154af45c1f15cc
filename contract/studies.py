"""What a task wants to find out about its models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contract.config import Config


@dataclass(frozen=True)
class Study:
    """Variants of a model, each to be trained with several seeds and compared on the validation split.

    Attributes:
        question: What it is to find out, one sentence.
        variants: Configurations by name; their seeds are replaced. The first is the reference.
        comparisons: Pairs of variants to be tested, decided before anything is trained; by default each against the
            reference.
        by_examples: Whether the variants differ in `train_examples`: the report draws along it and says whether more
            data would help.
        target: Of the primary metric on the validation split; epochs and seconds until it is reached are compared too.
        timed: Whether seconds are part of the answer: the runs then have the machine for themselves, one at a time.
    """

    question: str
    variants: Mapping[str, Config]
    comparisons: tuple[tuple[str, str], ...] = ()
    by_examples: bool = False
    target: float | None = None
    timed: bool = False

    def __post_init__(self) -> None:
        if unknown_names := {name for pair in self.comparisons for name in pair} - self.variants.keys():
            raise ValueError(f"Expected comparisons of variants, received {', '.join(sorted(unknown_names))}.")

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """What is tested."""
        first, *others = self.variants
        return self.comparisons or tuple((other, first) for other in others)


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; whole ones where the field is of type int."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Search:
    """Where to look for a better configuration.

    Attributes:
        base: What stays as it is.
        space: What to try for some of its fields: a range, or a tuple of values.
    """

    base: Config
    space: Mapping[str, Range | tuple[Any, ...]]
