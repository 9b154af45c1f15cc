"""What networks that segment learn by: losses and the Dice coefficient of items (N, *sides), for Keras.

Targets (N, *sides) are places in the list of classes, the first of which is the background. Below 0 a target marks a
place that is none, as where items are padded to fill a batch: nothing there counts. Outputs (N, *sides, classes) are
probabilities.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

LEAST = 1e-7  # of a probability whose logarithm is taken
# Places of each class that are taken for found and right beside the others: where there is nothing to find, the loss is
# finite, and smaller the less is found.
SMOOTHING = 1.0


@keras.saving.register_keras_serializable("segmentation")
class CrossEntropy(keras.losses.Loss):
    """-log of the probability of the right class, the mean of an item's places; in nats."""

    def __init__(self, name: str = "cross_entropy", **options: Any) -> None:
        super().__init__(name=name, **options)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """(N,)."""
        right, known = _right(y_true, y_pred)
        sides = _sides(y_pred)
        chosen = ops.sum(right * ops.log(ops.maximum(y_pred, LEAST)), axis=-1, keepdims=True)
        places = ops.maximum(ops.sum(known, axis=(*sides, -1)), 1.0)
        return -ops.sum(chosen, axis=(*sides, -1)) / places


@keras.saving.register_keras_serializable("segmentation")
class SoftDice(keras.losses.Loss):
    """1 - the Dice coefficient, with probabilities in place of what was found; the mean of all classes but the
    background (after Milletari et al. 2016, section 3, without the squares). From 0 to 1."""

    def __init__(self, name: str = "dice", **options: Any) -> None:
        super().__init__(name=name, **options)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """(N,)."""
        right, known = _right(y_true, y_pred)
        both, all_ = _overlap(right, y_pred * known)
        return 1 - ops.mean((2 * both + SMOOTHING) / (all_ + SMOOTHING), axis=-1)


@keras.saving.register_keras_serializable("segmentation")
class CrossEntropyAndDice(keras.losses.Loss):
    """The sum of both: the one tells places apart, the other objects that are small beside the background."""

    def __init__(self, name: str = "cross_entropy_and_dice", **options: Any) -> None:
        super().__init__(name=name, **options)
        self._parts = CrossEntropy(), SoftDice()

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """(N,)."""
        first, second = self._parts
        return first.call(y_true, y_pred) + second.call(y_true, y_pred)


# By the names of tasks.segmentation_config.LOSSES.
LOSSES: dict[str, Any] = {"cross_entropy": CrossEntropy, "dice": SoftDice, "sum": CrossEntropyAndDice}


@keras.saving.register_keras_serializable("segmentation")  # type: ignore[untyped-decorator]
def dice(y_true: Any, y_pred: Any) -> Any:
    """The Dice coefficient of the likeliest classes, the mean of all but the background, (N,); 1 where a class is
    neither there nor found. As `tasks.segmentation.dice` has it."""
    right, known = _right(y_true, y_pred)
    found = _one_hot(ops.argmax(y_pred, axis=-1), y_pred) * known
    both, all_ = _overlap(right, found)
    return ops.mean(ops.where(all_ > 0, 2 * both / ops.maximum(all_, 1.0), 1.0), axis=-1)


def _right(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """The probabilities that would be right, (N, *sides, classes), and which places there are, (N, *sides, 1)."""
    right = _one_hot(ops.cast(y_true, "int32"), y_pred)  # of a negative number: nothing but 0
    return right, ops.sum(right, axis=-1, keepdims=True)


def _one_hot(classes: Any, y_pred: Any) -> Any:
    return ops.one_hot(classes, y_pred.shape[-1], dtype=keras.backend.standardize_dtype(y_pred.dtype))


def _overlap(right: Any, found: Any) -> tuple[Any, Any]:
    """Of each item and class but the background, how much is right and found, and the sum of what is right and of what
    is found: (N, classes - 1)."""
    sides = _sides(right)
    right, found = right[..., 1:], found[..., 1:]
    return ops.sum(right * found, axis=sides), ops.sum(right + found, axis=sides)


def _sides(outputs: Any) -> tuple[int, ...]:
    return tuple(range(1, len(outputs.shape) - 1))
