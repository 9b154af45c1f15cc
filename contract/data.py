"""Examples, and how well each was answered."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from contract.digests import digest
from contract.errors import UserError
from contract.items import taken
from forms.outputs import Outputs, arrays, each

SplitName = Literal["train", "validation", "test"]
OWN_COLUMNS = frozenset({"score", "slice", "group"})  # of the table that scores are kept in


@dataclass(frozen=True)
class Split:
    """Examples of one split, in a fixed order.

    Attributes:
        inputs: Raw values as they are served, uint8 or float32: an array (N, ...), or where they are not one array in
            memory, `Files` or `Ragged`.
        targets: The right answers, the same; by name where the task has several.
        judge: What else outputs are judged by, where it is not the same everywhere, e.g. a loss network.
        groups: Which examples belong together, (N,), e.g. a patient's number: they are no more independent of each
            other than one example is of itself, so intervals and the gate take groups for independent. None where
            every example is on its own.
    """

    inputs: Any
    targets: Outputs
    judge: str = ""
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        for targets in arrays(self.targets):
            if len(self.inputs) != len(targets):
                raise ValueError(f"Expected as many targets as inputs, received {len(targets)} for {len(self.inputs)}.")
        if self.groups is not None and len(self.groups) != len(self):
            raise ValueError(f"Expected a group for each of {len(self)} inputs, received {len(self.groups)}.")

    def __len__(self) -> int:
        return len(self.inputs)

    def subset(self, count: int, seed: int) -> Split:
        """`count` examples drawn without replacement. With one seed, a smaller subset is part of every larger one.

        Raises:
            UserError: There are not that many.
        """
        if count > len(self):
            raise UserError(f"train_examples must be at most {len(self)}, received {count}.")
        return self.take(np.random.default_rng(seed).permutation(len(self))[:count])

    def take(self, rows: np.ndarray) -> Split:
        """The examples of these places. No file is read for that."""
        targets = each(lambda one: taken(one, rows), self.targets)
        groups = None if self.groups is None else self.groups[rows]
        return dataclasses.replace(self, inputs=taken(self.inputs, rows), targets=targets, groups=groups)

    @cached_property
    def digest(self) -> str:
        """What identifies these examples, see contract.digests."""
        return digest([self.inputs, *arrays(self.targets)], self.judge)


@dataclass(frozen=True)
class Scores:
    """One row an example: what all metrics follow from, and what the gate compares.

    Attributes:
        score: What the primary metric is the mean of, shape (N,), float64.
        slice: The group an example belongs to, shape (N,), str. Every group is watched on its own.
        columns: Further columns worth keeping, each of shape (N,), by names other than OWN_COLUMNS.
        groups: Those of the split; tasks need not fill them in.
    """

    score: np.ndarray
    slice: np.ndarray
    columns: Mapping[str, np.ndarray]
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        if reserved := OWN_COLUMNS & self.columns.keys():
            raise ValueError(f"Expected columns of other names than {', '.join(sorted(reserved))}.")

    def __len__(self) -> int:
        return len(self.score)

    def take(self, rows: np.ndarray) -> Scores:
        """The examples of these places, of which some may come more than once."""
        columns = {name: column[rows] for name, column in self.columns.items()}
        groups = None if self.groups is None else self.groups[rows]
        return Scores(self.score[rows], self.slice[rows], columns, groups)
