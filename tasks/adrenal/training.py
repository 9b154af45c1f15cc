"""How the adrenal task trains: as every task, but on volumes that vary from epoch to epoch."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tasks import training
from tasks.adrenal.augmentation import Mirrors
from tasks.adrenal.config import VolumeConfig
from tasks.contract import Split


def fit(
    model: keras.Model,
    train: Split,
    validation: Split,
    config: VolumeConfig,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    initial_epoch: int = 0,
) -> None:
    """Trains as `tasks.training.fit` does, with `config.augment` on varied volumes."""
    augment = training.inputs_alone(Mirrors(config.seed)) if config.augment else None
    training.fit(model, train, validation, config, callbacks, initial_epoch, augment)
