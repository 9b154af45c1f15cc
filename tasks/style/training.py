"""How the style task trains: as every task, on squares cut out of the photographs, judged by a loss network."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from tasks import training
from tasks.contract import Split
from tasks.style.config import FeedForwardConfig
from tasks.style.data import painting
from tasks.style.model import FeedForward
from tasks.style.objective import Objective

CROPS = 4  # of each photograph
AT_ONCE = 16  # squares through the loss network


def fit(
    model: FeedForward,
    train: Split,
    validation: Split,
    config: FeedForwardConfig,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    initial_epoch: int = 0,
) -> None:
    """Trains as `tasks.training.fit` does, at a rate that falls from epoch to epoch along a cosine.

    The squares are cut out once: of others in every epoch, the loss network would have to say anew what is in them.
    """
    model.objective = Objective(painting())

    def rate(epoch: int) -> float:
        return config.learning_rate * (1 + math.cos(math.pi * epoch / config.epochs)) / 2

    squares = with_content(crops(train.inputs, config.crop, config.seed), model.objective)
    validated = with_content(validation.inputs, model.objective)
    schedule = keras.callbacks.LearningRateScheduler(rate)
    training.fit(model, squares, validated, config, [schedule, *callbacks], initial_epoch)


def crops(photographs: np.ndarray, side: int, seed: int) -> np.ndarray:
    """CROPS squares of each photograph (N, height, width, 3) from places that are drawn, every other one flipped left
    to right: (CROPS · N, side, side, 3)."""
    generator = np.random.default_rng(seed)
    windows = np.lib.stride_tricks.sliding_window_view(photographs, (side, side), axis=(1, 2))
    result = []
    for number in range(CROPS):
        tops, lefts = (generator.integers(room, size=len(photographs)) for room in windows.shape[1:3])
        squares = np.moveaxis(windows[np.arange(len(photographs)), tops, lefts], 1, -1)
        result.append(squares[:, :, ::-1] if number % 2 else squares)
    return np.concatenate(result)


def with_content(photographs: np.ndarray, objective: Objective) -> Split:
    """Photographs (N, H, W, 3); the targets are the features that say what is in them, in float16."""
    starts = range(0, len(photographs), AT_ONCE)
    content = [objective.content(photographs[start : start + AT_ONCE]) for start in starts]
    return Split(photographs, np.concatenate([ops.convert_to_numpy(one).astype(np.float16) for one in content]))
