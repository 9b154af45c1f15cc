"""The training loop that tasks share: `keras.Model.fit`, repeatable and resumable.

Everything random in an epoch follows from (seed, epoch) alone, so a run that stopped after an epoch and one that did
not see the same batches and the same dropout masks afterwards.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import keras
import numpy as np

from tasks.contract import Config, Split


class Shuffled(keras.utils.PyDataset):
    """The batches of a split in an order that `reorder` sets. The last batch may be smaller."""

    def __init__(self, split: Split, batch_size: int) -> None:
        super().__init__()
        self._split = split
        self._batch_size = batch_size
        self._order = np.arange(len(split))

    def reorder(self, generator: np.random.Generator) -> None:
        self._order = generator.permutation(len(self._split))

    def __len__(self) -> int:
        return -(-len(self._split) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        return self._split.inputs[rows], self._split.targets[rows]


class Reseed(keras.callbacks.Callback):
    """Sets the order of the examples and the state of every random layer at the start of each epoch."""

    def __init__(self, batches: Shuffled, seed: int) -> None:
        super().__init__()
        self._batches = batches
        self._seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        generator = np.random.default_rng([self._seed, epoch])
        self._batches.reorder(generator)
        for variable in self.model.non_trainable_variables:
            if variable.path.endswith("seed_generator_state"):
                variable.assign([int(generator.integers(2**31)), 0])


def fit(
    model: keras.Model,
    train: Split,
    validation: Split,
    config: Config,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    initial_epoch: int = 0,
) -> None:
    """Trains a compiled model in place.

    Args:
        model: A compiled model that takes `train.inputs`.
        train: Examples to learn from, shuffled every epoch.
        validation: Examples scored after every epoch, in order.
        config: `epochs`, `batch_size` and `seed` are used.
        callbacks: Called as by `keras.Model.fit`.
        initial_epoch: Epochs that the model has behind it already.
    """
    batches = Shuffled(train, config.batch_size)
    model.fit(
        batches,
        epochs=config.epochs,
        initial_epoch=initial_epoch,
        validation_data=(validation.inputs, validation.targets),
        validation_batch_size=512,
        shuffle=False,  # Shuffled does it; Keras would draw from a global generator that a resumed run cannot restore
        verbose="auto" if sys.stdout.isatty() else 2,  # a bar for a person, a line an epoch for a log
        callbacks=[Reseed(batches, config.seed), *callbacks],
    )
