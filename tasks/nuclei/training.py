"""How the nuclei task trains: as every task, but on pictures that vary from epoch to epoch, and on classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import keras
import numpy as np

from tasks import training
from tasks.contract import Split
from tasks.deformation import Deformation
from tasks.nuclei.config import NucleiConfig


def fit(
    model: keras.Model,
    train: Split,
    validation: Split,
    config: NucleiConfig,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    initial_epoch: int = 0,
) -> None:
    """Trains as `tasks.training.fit` does, with `config.augment` on varied pictures: which nucleus a pixel is of is
    not learnt, but whether it is of one."""
    varied = Deformation(config.seed, mirrored=(0, 1), turned=(0, 1), deviation=config.elastic)
    augment = varied if config.augment else None
    training.fit(model, classes(train), classes(validation), config, callbacks, initial_epoch, augment)


def classes(split: Split) -> Split:
    """The same pictures, with the class of each pixel in place of the number of its nucleus."""
    return dataclasses.replace(split, targets=np.minimum(split.targets, 1))
