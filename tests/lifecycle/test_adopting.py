"""A model that was trained elsewhere becomes a candidate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import mlflow
import numpy as np
import pytest
from keras import layers
from mlflow import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from lifecycle.adopting import adopt, fitted_to
from lifecycle.scoring import evaluate
from registry.candidates import best_first
from tasks.contract import Ragged, Split, UserError, get_task
from tasks.unet import unet
from tests.toys import bloom, bubbles

DIGITS = get_task("digits")


def elsewhere(file: Path, *more: Any, items: tuple[int, ...] = (8, 8), classes: int = 10) -> Path:
    """A model that somebody trained for floats, saved."""
    model = keras.Sequential(
        [keras.Input(items), layers.Rescaling(1 / 16), *more, layers.Flatten(), layers.Dense(classes, "softmax")]
    )
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    if items == (8, 8) and classes == 10:
        train = DIGITS.load("train")
        model.fit(train.inputs.astype(np.float32), train.targets, epochs=5, verbose=0)
    model.save(file)
    return file


@pytest.mark.slow
def test_it_is_measured_and_logged_and_goes_the_way_of_all_candidates(store: MlflowClient, tmp_path: Path) -> None:
    adopted = adopt(DIGITS, elsewhere(tmp_path / "my model.v2.keras"))
    (candidate,) = best_first(store, DIGITS)
    assert candidate.uri == adopted.model_uri
    assert candidate.name == "my_model_v2"
    evaluated = evaluate(DIGITS, "latest", baseline=False)
    assert evaluated.metrics["test_accuracy"] > 0.8
    validation = DIGITS.load("validation").inputs
    outside = keras.saving.load_model(tmp_path / "my model.v2.keras").predict(validation.astype(np.float32), verbose=0)
    served = mlflow.pyfunc.load_model(adopted.model_uri)
    np.testing.assert_allclose(served.predict(validation), outside, atol=1e-5)
    run = store.get_run(adopted.run_id)
    assert (run.data.tags["step"], run.data.params["config.adopted_from"]) == ("adopt", "my model.v2.keras")
    card = store.get_logged_model(candidate.model_id).tags[MLFLOW_RUN_NOTE]
    assert "adopted_from my model.v2.keras" in card


def test_logits_are_no_probabilities(store: MlflowClient, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((8, 8)), layers.Flatten(), layers.Dense(10)])
    model.save(tmp_path / "logits.keras")
    message = refusal(tmp_path / "logits.keras")
    assert message.startswith(
        "The model does not give the answers of digits: expected probabilities, from 0 to 1, that"
    )
    assert message.endswith("End the model with a softmax.")


def test_a_model_may_leave_open_how_large_its_items_are() -> None:
    split = bloom.TASK.load("validation")
    items = keras.Input((None, None, 3))
    fitting, other = (keras.Model(items, layers.Conv2D(count, 1, activation="softmax")(items)) for count in (2, 3))
    assert fitted_to(bloom.TASK, fitting, split).input_shape == (None, bloom.SIDE, bloom.SIDE, 3)
    with pytest.raises(UserError, match="outputs of the shape"):
        fitted_to(bloom.TASK, other, split)


def test_a_model_of_items_of_different_sizes() -> None:
    sides = ((2, 3, 4), (5, 3, 2))
    volumes = Ragged([np.zeros(side, np.float32) for side in sides])
    split = Split(volumes, Ragged([np.zeros(side, np.int32) for side in sides]))
    assert fitted_to(bubbles.TASK, unet(3, 2, filters=1, depth=1), split).output_shape == (None, None, None, None, 2)
    with pytest.raises(UserError, match="outputs of the shape"):
        fitted_to(bubbles.TASK, unet(3, 3, filters=1, depth=1), split)


def refusal(file: Path) -> str:
    with pytest.raises(UserError) as caught:
        adopt(DIGITS, file)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.slow
def test_what_does_not_fit_is_told_in_one_line(store: MlflowClient, tmp_path: Path) -> None:
    path = tmp_path / "mine.keras"
    assert refusal(path) == f"There is no file {path}."
    path.write_bytes(b"no zip")
    assert refusal(path).startswith("mine.keras cannot be read as a Keras model: ")
    wide = refusal(elsewhere(path, items=(9, 8)))
    assert wide == "The model takes items of the shape (9, 8), those of digits have (8, 8)."
    few = refusal(elsewhere(path, classes=3))
    assert few == "The model gives outputs of the shape (3,), the answer of digits has (10,)."
    bent = refusal(elsewhere(path, layers.Activation("gelu", name="bend")))
    assert bent.startswith("The model cannot be exported. Its layer 'bend' needs the operation Erfc")
    runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert {run.info.status for run in runs} == {"FAILED"}


def test_a_layer_that_nobody_registered_is_told(store: MlflowClient, tmp_path: Path) -> None:
    class Lost(layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs

    told = refusal(elsewhere(tmp_path / "mine.keras", Lost()))
    assert "Layers of its own have to be registered" in told
    assert "tasks/digits/" in told
