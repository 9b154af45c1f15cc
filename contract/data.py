"""Examples, and how well each was answered."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from contract.errors import UserError

SplitName = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Split:
    """Examples of one split, in a fixed order.

    Attributes:
        inputs: Raw values as they are served, uint8 or float32, of shape (N, ...).
        targets: The right answers, of shape (N, ...).
        judge: What else outputs are judged by, where it is not the same everywhere, e.g. a loss network.
    """

    inputs: np.ndarray
    targets: np.ndarray
    judge: str = ""

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.targets):
            raise ValueError(
                f"Expected as many targets as inputs, received {len(self.targets)} for {len(self.inputs)}."
            )

    def __len__(self) -> int:
        return len(self.inputs)

    def subset(self, count: int, seed: int) -> Split:
        """`count` examples drawn without replacement. With one seed, a smaller subset is part of every larger one.

        Raises:
            UserError: There are not that many.
        """
        if count > len(self):
            raise UserError(f"train_examples must be at most {len(self)}, received {count}.")
        rows = np.random.default_rng(seed).permutation(len(self))[:count]
        return dataclasses.replace(self, inputs=self.inputs[rows], targets=self.targets[rows])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the judge and of the dtype, shape and values of both arrays, in hexadecimal."""
        hasher = hashlib.sha256(self.judge.encode())
        for array in (self.inputs, self.targets):
            hasher.update(f"{array.dtype.str}{array.shape}".encode())
            hasher.update(np.ascontiguousarray(array).data)
        return hasher.hexdigest()


@dataclass(frozen=True)
class Scores:
    """One row an example: what all metrics follow from, and what the gate compares.

    Attributes:
        score: What the primary metric is the mean of, shape (N,), float64.
        slice: The group an example belongs to, shape (N,), str. Every group is watched on its own.
        columns: Further columns worth keeping, each of shape (N,).
    """

    score: np.ndarray
    slice: np.ndarray
    columns: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.score)

    def take(self, rows: np.ndarray) -> Scores:
        """The examples of these places, of which some may come more than once."""
        columns = {name: column[rows] for name, column in self.columns.items()}
        return Scores(self.score[rows], self.slice[rows], columns)
