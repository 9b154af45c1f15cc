"""How the style task trains: as every task, judged by a loss network."""

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

AT_ONCE = 4  # photographs through the loss network
# At first style counts for this share, which grows over this part of the steps. That is meant to keep what is in the
# photograph from being drowned by a style loss that counts several times as much; its effect was not measured alone.
FIRST_STYLE_SHARE, GROWTH = 0.4, 0.6


def fit(
    model: FeedForward,
    train: Split,
    validation: Split,
    config: FeedForwardConfig,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    initial_epoch: int = 0,
) -> None:
    """Trains as `tasks.training.fit` does, at a rate that falls from epoch to epoch along a cosine.

    What is in a photograph the loss network says once, before the first epoch. The loss of the training photographs is
    that with the style's share of the step, the loss of the validation ones is the whole.
    """
    model.objective = Objective(painting())
    growing = round(GROWTH * config.epochs * -(-len(train) // config.batch_size))
    model.style_share = keras.optimizers.schedules.PolynomialDecay(FIRST_STYLE_SHARE, growing, 1.0)

    def rate(epoch: int) -> float:
        return config.learning_rate * (1 + math.cos(math.pi * epoch / config.epochs)) / 2

    train, validation = (with_content(split.inputs, model.objective) for split in (train, validation))
    schedule = keras.callbacks.LearningRateScheduler(rate)
    training.fit(model, train, validation, config, [schedule, *callbacks], initial_epoch)


def with_content(photographs: np.ndarray, objective: Objective) -> Split:
    """Photographs (N, H, W, 3); the targets are the features that say what is in them, in float16."""
    starts = range(0, len(photographs), AT_ONCE)
    content = [objective.content(photographs[start : start + AT_ONCE]) for start in starts]
    return Split(photographs, np.concatenate([ops.convert_to_numpy(one).astype(np.float16) for one in content]))
