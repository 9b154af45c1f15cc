from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from serving.export import export
from serving.package import run_onnx
from tasks.contract import Split, UserError
from tasks.nuclei.config import NO_SKIP, UNET, NucleiConfig
from tasks.nuclei.measures import metrics, scores
from tasks.nuclei.model import build
from tasks.nuclei.training import classes, fit
from tests.toys import circles


def test_numbers_of_nuclei_become_classes() -> None:
    split = Split(np.zeros((1, 1, 3), np.float32), np.array([[[0, 1, 9]]], np.int32))
    np.testing.assert_array_equal(classes(split).targets, [[[0, 1, 1]]])


@pytest.mark.parametrize("config", [UNET, NO_SKIP])
def test_skips_are_what_the_models_differ_in(config: NucleiConfig) -> None:
    kinds = [type(layer).__name__ for layer in build(config).layers]
    assert kinds.count("Concatenate") == (config.depth if config is UNET else 0)


@pytest.mark.slow
def test_circles_are_learnt_and_served_as_they_are_learnt(tmp_path: Path) -> None:
    """The metrics of the exported graph, by ONNX Runtime, are those of the Keras model."""
    config = dataclasses.replace(UNET, filters=4, epochs=2)
    keras.utils.set_random_seed(1)
    model = build(config)
    fit(model, circles.load("train"), circles.load("validation"), config)
    test = circles.load("test")
    outputs = model.predict(test.inputs, verbose=0)
    values = metrics(scores(test, outputs))
    assert values["dice"] > 0.97
    assert values["object_f1_of_set"] > 0.95
    export(model, tmp_path / "model.onnx")
    served = run_onnx(tmp_path / "model.onnx", test.inputs)
    assert metrics(scores(test, served)) == pytest.approx(values, abs=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "dise"}, "Unknown loss: 'dise'. Did you mean 'dice'"),
        ({"filters": 0}, "filters must be at least 1"),
        ({"elastic": -1.0}, "elastic must be a finite number of at least 0"),
        ({"depth": 0}, "depth must be at least 1"),
    ],
)
def test_impossible_configurations_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        dataclasses.replace(UNET, **change)
