"""What a model gives: one array, or several by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

# An array with a row an item (N, ...), or rows of different shapes, or a dictionary of such; targets are the same. A
# union would have every task with one output prove that it has one.
Outputs = Any


def each(function: Callable[..., Any], *outputs: Any) -> Any:
    """`function` of the array, or by name of each; of several outputs with the same names, of those of one name."""
    if not isinstance(outputs[0], dict):
        return function(*outputs)
    return {name: function(*(one[name] for one in outputs)) for name in outputs[0]}


def arrays(outputs: Outputs) -> list[Any]:
    """The one array, or all of them by the order of their names."""
    return [outputs[name] for name in sorted(outputs)] if isinstance(outputs, dict) else [outputs]


def batches_of(outputs: Outputs) -> list[Outputs]:
    """The outputs as arrays: one batch of all, or where rows are of different shapes, a batch (1, ...) each."""
    if all(isinstance(one, np.ndarray) for one in arrays(outputs)):
        return [outputs]
    return [each(lambda one, row=row: one[row][None], outputs) for row in range(len(arrays(outputs)[0]))]
