from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

from tasks.contract import answered
from tasks.hippocampus.config import UNET
from tests.conftest import available


@pytest.mark.slow
def test_a_small_network_finds_half_of_it_in_two_epochs() -> None:
    """Otherwise labels do not lie where volumes do, or windows show too little."""
    task = available("hippocampus")
    config = replace(UNET, filters=4, epochs=2, learning_rate=1e-2)
    keras.utils.set_random_seed(config.seed)
    model = task.build(config)
    validation = task.load("validation")
    task.fit(model, task.load("train"), validation, config)
    outputs = answered(validation.inputs, lambda batch: model.predict(batch, verbose=0))
    found = task.metrics(task.scores(validation, outputs))
    assert found["dice"] > 0.5
    assert np.isfinite(list(found.values())).all()
