"""How the hippocampus task trains: as every task, but on windows that vary from epoch to epoch."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tasks import training
from tasks.contract import Split
from tasks.hippocampus.augmentation import Variation, padded
from tasks.hippocampus.config import HippocampusConfig


def fit(
    model: keras.Model,
    train: Split,
    validation: Split,
    config: HippocampusConfig,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    initial_epoch: int = 0,
) -> None:
    """Trains as `tasks.training.fit` does, on a window of each volume an epoch, which `config.augment` varies. Whole
    volumes are validated, padded to one size."""
    varied = Variation(config.seed, config.window, config.augment, config.mirror)
    training.fit(model, padded(train), padded(validation), config, callbacks, initial_epoch, varied)
