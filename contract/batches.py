"""Batches of examples, whatever they are kept in: the items of one have one shape, and do not take much memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from contract.items import Items, Ragged
from forms.outputs import Outputs, each

MOST_BYTES = 2**26  # of the items of a batch that nobody has set the size of


def batches(inputs: Any, size: int, order: np.ndarray | None = None) -> list[np.ndarray]:
    """The places of the items of each batch. Where items are of different shapes, a batch is full when there are `size`
    of one; what is left comes last.

    Args:
        inputs: An array or items.
        size: Of a batch, at most.
        order: Of the places; None for the order in which they are kept.
    """
    order = np.arange(len(inputs)) if order is None else order
    if not isinstance(inputs, Items) or None not in inputs.shape:
        return [order[start : start + size] for start in range(0, len(order), size)]
    full: list[np.ndarray] = []
    waiting: dict[tuple[int, ...], list[int]] = {}
    for row in order.tolist():
        group = waiting.setdefault(inputs.side(row), [])
        group.append(row)
        if len(group) == size:
            full.append(np.array(waiting.pop(inputs.side(row))))
    return full + [np.array(group) for group in waiting.values()]


def bounded(inputs: Any, most: int) -> int:
    """How many items of `inputs` make a batch of at most MOST_BYTES, at most `most`, at least one."""
    sides = {inputs.side(row) for row in range(len(inputs))} if isinstance(inputs, Items) else {inputs.shape[1:]}
    largest = max(int(np.prod(side)) for side in sides) * inputs.dtype.itemsize
    return max(1, min(most, MOST_BYTES // max(1, largest)))


def answered(inputs: Any, answer: Callable[[np.ndarray], Outputs], most: int = 512) -> Outputs:
    """What `answer` gives for all inputs, batch by batch, in the order of the inputs.

    Args:
        inputs: An array or items, at least one.
        answer: Items (N, ...) -> outputs, see forms.outputs.
        most: Items a batch.
    """
    places = batches(inputs, bounded(inputs, most))
    parts = [answer(inputs[rows]) for rows in places]
    order = np.argsort(np.concatenate(places), kind="stable")
    return each(lambda *outputs: _together(outputs, order), *parts)


def _together(parts: tuple[Any, ...], order: np.ndarray) -> Any:
    """The rows of all parts, in an order; an array where they have one shape."""
    rows_of = [part if isinstance(part, list) else part[:1] for part in parts]  # an array's rows have one shape
    if len({np.shape(row) for rows in rows_of for row in rows}) > 1:
        rows = [np.asarray(row) for part in parts for row in part]
        return Ragged([rows[place] for place in order])
    whole = np.concatenate(parts)
    return whole if (np.diff(order) == 1).all() else whole[order]
