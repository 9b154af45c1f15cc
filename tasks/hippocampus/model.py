"""Model of the hippocampus task."""

from __future__ import annotations

import keras

from tasks.contract import Config
from tasks.hippocampus.config import HippocampusConfig
from tasks.hippocampus.data import CLASSES, TRAIN_SIZE
from tasks.segmentation_losses import LOSSES, dice
from tasks.training import one_cycle
from tasks.unet import unet


def build(config: Config) -> keras.Model:
    """The compiled, untrained network, a 3D U-Net (Çiçek et al. 2016): volumes (N, right, front, up) float32 of any
    unit to the probabilities of each voxel, (N, right, front, up, 3)."""
    if not isinstance(config, HippocampusConfig):
        raise TypeError(f"Expected a configuration of this task, received {config!r}.")
    model = unet(3, len(CLASSES), config.filters, config.depth, name=config.model)
    optimizer = keras.optimizers.Adam(one_cycle(config, TRAIN_SIZE))
    model.compile(optimizer=optimizer, loss=LOSSES[config.loss](), metrics=[dice])
    return model
