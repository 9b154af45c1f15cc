"""What would fail after the last epoch is told before the first."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import mlflow
import numpy as np
import pytest
from keras import layers
from mlflow import MlflowClient

from lifecycle import trial
from lifecycle.training import train
from serving.export import export
from tasks.contract import Config, Task, UserError, get_task

DIGITS = get_task("digits")


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DL_LIFECYCLE_CACHE", str(tmp_path / "cache"))


def digits_with(*more: Any, last: str | None = "softmax") -> Task:
    """The task with a model that has these layers, too."""

    def build(config: Config) -> keras.Model:
        first = [keras.Input((8, 8), dtype="uint8"), layers.Rescaling(1 / 16)]
        model = keras.Sequential([*first, *(one() for one in more), layers.Flatten(), layers.Dense(10, last)])
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    return dataclasses.replace(DIGITS, build=build)


CONFIG = dataclasses.replace(DIGITS.configure(), epochs=1)


def test_a_layer_that_cannot_be_exported_is_told_before_the_first_epoch(store: MlflowClient) -> None:
    with pytest.raises(UserError) as caught:
        train(digits_with(lambda: layers.Activation("gelu", name="bend")), CONFIG)
    assert str(caught.value).startswith("The model cannot be exported. Its layer 'bend' needs ")
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert run.info.status == "FAILED"
    assert "train_loss" not in run.data.metrics


def test_a_model_that_gives_no_probabilities_is_told_before_the_first_epoch(store: MlflowClient) -> None:
    with pytest.raises(UserError, match=r"expected probabilities.* that add up to 1; received .* End the model with"):
        train(digits_with(last=None), CONFIG)
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert "train_loss" not in run.data.metrics


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[keras.Model]]:
    """The models that are exported."""
    found: list[keras.Model] = []

    def noted(model: keras.Model, path: Path) -> None:
        found.append(model)
        export(model, path)

    monkeypatch.setattr(trial, "export", noted)
    yield found


def test_what_was_exported_once_is_not_tried_again(exports: list[keras.Model]) -> None:
    split = DIGITS.load("train")
    for more in ([], [], [layers.ReLU], [layers.ReLU], []):
        keras.utils.clear_session()
        task = digits_with(*more)
        trial.try_export(task, CONFIG, task.build(CONFIG), split)
    assert len(exports) == 2


def test_where_nothing_can_be_kept_it_is_tried_each_time(
    exports: list[keras.Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DL_LIFECYCLE_CACHE", str(tmp_path / "file"))
    for _ in range(2):
        trial.try_export(DIGITS, CONFIG, DIGITS.build(CONFIG), DIGITS.load("train"))
    assert len(exports) == 2


@pytest.mark.slow
def test_normalization_learns_from_the_training_split_and_ships(store: MlflowClient, no_figures: None) -> None:
    class Lighter(layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs + 1.0

    task = digits_with(Lighter, lambda: layers.Normalization(axis=None, name="standard"))
    trained = train(task, CONFIG)
    model = mlflow.keras.load_model(trained.model_uri, custom_objects={"Lighter": Lighter})
    learnt = DIGITS.load("train").inputs / 16 + 1
    np.testing.assert_allclose(np.ravel(model.get_layer("standard").mean), learnt.mean(), rtol=1e-5)
    np.testing.assert_allclose(np.ravel(model.get_layer("standard").variance), learnt.var(), rtol=1e-4)
    images = DIGITS.load("validation").inputs
    served = mlflow.pyfunc.load_model(trained.model_uri).predict(images)
    np.testing.assert_allclose(served, model.predict(images, verbose=0), atol=1e-5)
