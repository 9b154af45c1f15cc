"""How the style task trains: as every task, on squares cut out of the photographs, judged by a loss network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np

from tasks import training
from tasks.contract import Split
from tasks.style.config import FeedForwardConfig
from tasks.style.data import painting
from tasks.style.model import FeedForward
from tasks.style.objective import Objective


@dataclass(frozen=True)
class Crops:
    """A square of each photograph, anew in every epoch, half of them flipped left to right.

    Attributes:
        seed: Of all that is drawn.
        examples: Size of the split.
        side: Of the squares, in pixels.
    """

    seed: int
    examples: int
    side: int

    def __call__(self, pictures: np.ndarray, rows: np.ndarray, epoch: int) -> np.ndarray:
        """Of photographs (B, height, width, 3), which are the split's `rows` (B,): (B, side, side, 3)."""
        generator = np.random.default_rng([self.seed, epoch])
        places = generator.random((self.examples, 2))[rows]
        flipped = generator.random(self.examples)[rows] < 0.5
        room = np.array(pictures.shape[1:3]) - self.side + 1
        tops, lefts = (places * room).astype(int).T
        windows = np.lib.stride_tricks.sliding_window_view(pictures, (self.side, self.side), axis=(1, 2))
        result = np.ascontiguousarray(np.moveaxis(windows[np.arange(len(pictures)), tops, lefts], 1, -1))
        result[flipped] = result[flipped, :, ::-1]
        return result


def fit(
    model: FeedForward,
    train: Split,
    validation: Split,
    config: FeedForwardConfig,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    initial_epoch: int = 0,
) -> None:
    """Trains as `tasks.training.fit` does, at a rate that falls from epoch to epoch along a cosine."""
    model.objective = Objective(painting())

    def rate(epoch: int) -> float:
        return config.learning_rate * (1 + math.cos(math.pi * epoch / config.epochs)) / 2

    crops = Crops(config.seed, len(train), config.crop)
    schedule = keras.callbacks.LearningRateScheduler(rate)
    training.fit(model, train, validation, config, [schedule, *callbacks], initial_epoch, crops)
