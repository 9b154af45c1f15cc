"""A model is made as sure as it is right, in its own weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from mlflow import MlflowClient
from scipy.special import softmax

from forms.reliability import calibration_error
from lifecycle import calibration
from lifecycle.training import train
from tasks.contract import Split, UserError, get_task

DIGITS = get_task("digits")
LOGITS = np.random.default_rng(1).normal(0, 2, (20_000, 10))
RIGHT = (LOGITS + np.random.default_rng(2).gumbel(size=LOGITS.shape)).argmax(axis=1)  # drawn from their softmax


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_is_how_much_too_sure_a_model_is(factor: float) -> None:
    sure = softmax(factor * LOGITS, axis=1)
    found = calibration.temperature(sure, RIGHT)
    assert found == pytest.approx(factor, rel=0.02)
    before = calibration.as_it_was(softmax(factor * LOGITS / found, axis=1), found)
    np.testing.assert_allclose(before, sure, atol=1e-6)


def test_a_model_that_is_always_right_is_made_no_surer_than_there_are_numbers_for() -> None:
    found = calibration.temperature(np.eye(10)[RIGHT], RIGHT)
    assert np.isfinite(found)
    assert found >= 1 / calibration.MOST


ENDS: dict[str, Any] = {
    "dense": [layers.Dense(10, "softmax")],
    "softmax": [layers.Dense(10), layers.Softmax()],
    "activation": [layers.Dense(10), layers.Activation("softmax")],
}


@pytest.mark.parametrize("end", ENDS)
def test_weights_are_divided_and_labels_stay(end: str) -> None:
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((10,)), *ENDS[end]])
    model.layers[0].set_weights([4 * np.eye(10), np.zeros(10)])  # four times too sure
    inputs = LOGITS.astype(np.float32)
    before = model.predict(inputs, batch_size=4096, verbose=0)
    calibration.check(DIGITS, model)
    (found,) = calibration.calibrate(DIGITS, model, Split(inputs, RIGHT.astype(np.int32))).values()
    after = model.predict(inputs, batch_size=4096, verbose=0)
    assert found == pytest.approx(4, rel=0.02)
    np.testing.assert_array_equal(after.argmax(axis=1), before.argmax(axis=1))
    errors = [calibration_error(one.max(axis=1), one.argmax(axis=1) == RIGHT) for one in (before, after)]
    assert errors[0] > 0.1
    assert errors[1] < 0.02


@pytest.mark.parametrize(
    "end", [[layers.Dense(10, "sigmoid")], [layers.Softmax()], [layers.Dense(10, "softmax"), layers.Dropout(0.1)]]
)
def test_a_model_that_ends_otherwise_is_refused(end: list[Any]) -> None:
    model = keras.Sequential([keras.Input((10,)), *end])
    with pytest.raises(UserError, match="needs a softmax right after a Dense layer"):
        calibration.check(DIGITS, model)


def test_what_has_no_labels_is_refused() -> None:
    model = keras.Sequential([keras.Input((10,)), layers.Dense(10, "softmax")])
    with pytest.raises(UserError, match="which style does not answer"):
        calibration.check(get_task("style"), model)


@pytest.mark.slow
def test_a_run_tells_the_temperature_and_shows_both(store: MlflowClient) -> None:
    config = replace(DIGITS.configure(), epochs=2, calibrate=True)
    run = store.get_run(train(DIGITS, config).run_id)
    before, after = [point.value for point in store.get_metric_history(run.info.run_id, "val_loss")][-2:]
    assert after < before  # as the last epoch ended, and as it is logged
    right = [point.value for point in store.get_metric_history(run.info.run_id, "val_accuracy")][-2:]
    assert right[0] == pytest.approx(right[1])
    assert run.data.metrics["temperature"] > 0
    assert "figures/reliability.png" in [file.path for file in store.list_artifacts(run.info.run_id, "figures")]
