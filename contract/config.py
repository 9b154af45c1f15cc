"""What decides a training run, next to code and data."""

from __future__ import annotations

import typing
from dataclasses import dataclass

from contract.errors import UserError, check_above_zero, check_least, unknown


@dataclass(frozen=True)
class Config:
    """What decides a training run, next to code and data. A task may add fields of its own.

    Attributes:
        model: Name of the model, a key of `Task.models`.
        epochs: Passes over the training split, at least 1.
        batch_size: Examples per gradient step, at least 1.
        learning_rate: Peak step size of the optimizer, above 0.
        seed: Seed of initialisation, shuffling and dropout, at least 1 and below 2**32.
        train_examples: How many examples of the training split to learn from, drawn by the seed; 0 for all.
        calibrate: Whether probabilities are calibrated on the validation split once the model is trained.
    """

    model: str
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int = 1
    train_examples: int = 0
    calibrate: bool = False

    def __post_init__(self) -> None:
        check_least(self, 1, "epochs", "batch_size", "seed")
        check_least(self, 0, "train_examples")
        if self.seed >= 2**32:
            raise UserError(f"seed must be below {2**32}, received {self.seed}.")
        check_above_zero(self, "learning_rate")


def converted(config: Config, key: str, text: str) -> object:
    """`text` as the type of a configuration's field.

    Raises:
        UserError: There is no such field, or the text does not fit it.
    """
    types = typing.get_type_hints(type(config))
    types.pop("model")  # it has a parameter of its own
    if key not in types:
        raise UserError(unknown("override", key, types))
    if types[key] is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise UserError(f"override {key} must be true or false, received {text!r}.")
    try:
        return types[key](text)
    except ValueError:
        raise UserError(f"override {key} must be of type {types[key].__name__}, received {text!r}.") from None
