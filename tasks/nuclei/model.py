"""Models of the nuclei task."""

from __future__ import annotations

import keras

from tasks.contract import Config
from tasks.nuclei.config import NucleiConfig
from tasks.nuclei.data import CLASSES, TRAIN_SIZE
from tasks.segmentation_losses import LOSSES, dice
from tasks.training import one_cycle
from tasks.unet import unet


def build(config: Config) -> keras.Model:
    """The compiled, untrained network: pictures (N, H, W) float32 of any unit to probabilities (N, H, W, 2)."""
    if not isinstance(config, NucleiConfig):
        raise TypeError(f"Expected a configuration of this task, received {config!r}.")
    skips = config.model != "unet_no_skip"
    model = unet(2, len(CLASSES), config.filters, config.depth, skips, name=config.model)
    optimizer = keras.optimizers.Adam(one_cycle(config, TRAIN_SIZE))
    model.compile(optimizer=optimizer, loss=LOSSES[config.loss](), metrics=[dice])
    return model
