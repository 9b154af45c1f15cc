"""How the cifar10 task trains: as every task, but on images that vary from epoch to epoch."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tasks import training
from tasks.cifar10.augmentation import Augmentation
from tasks.cifar10.config import FastConfig, ImageConfig
from tasks.cifar10.model import whiten
from tasks.contract import Split


def fit(
    model: keras.Model,
    train: Split,
    validation: Split,
    config: ImageConfig,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    initial_epoch: int = 0,
) -> None:
    """Trains as `tasks.training.fit` does, with `config.augment` on varied images.

    The fixed first layer of the `fast` model is set from the training images before its first epoch.
    """
    if isinstance(config, FastConfig) and not initial_epoch:
        whiten(model, train.inputs)
    varied = training.inputs_alone(Augmentation(config.seed, len(train), config.translation))
    training.fit(model, train, validation, config, callbacks, initial_epoch, varied if config.augment else None)
