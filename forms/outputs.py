"""What a model gives: one array, or several by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# An array with a row an item (N, ...), or a dictionary of such arrays; targets are the same. A union of the two would
# have every task with one output prove that it has one.
Outputs = Any


def each(function: Callable[..., Any], *outputs: Any) -> Any:
    """`function` of the array, or by name of each; of several outputs with the same names, of those of one name."""
    if not isinstance(outputs[0], dict):
        return function(*outputs)
    return {name: function(*(one[name] for one in outputs)) for name in outputs[0]}


def arrays(outputs: Outputs) -> list[Any]:
    """The one array, or all of them by the order of their names."""
    return [outputs[name] for name in sorted(outputs)] if isinstance(outputs, dict) else [outputs]
