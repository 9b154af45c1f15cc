"""What of an epoch is logged."""

from __future__ import annotations

import keras
import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from lifecycle.callbacks import EpochLogger


def test_the_validation_loss_is_logged_without_the_regularizers_penalty(store: MlflowClient) -> None:
    keras.utils.set_random_seed(1)
    regularizer = keras.regularizers.L2(0.5)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax", kernel_regularizer=regularizer)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    generator = np.random.default_rng(1)
    inputs, targets = generator.standard_normal((32, 4)), generator.integers(0, 3, 32)
    with mlflow.start_run() as run:
        model.fit(inputs, targets, validation_data=(inputs, targets), callbacks=[EpochLogger()], verbose=0)
    outputs = model.predict(inputs, verbose=0)
    expected = -np.log(outputs[np.arange(32), targets]).mean()
    logged = store.get_run(run.info.run_id).data.metrics
    assert logged["val_loss"] == pytest.approx(expected, rel=1e-5)
    assert logged["train_loss"] > logged["val_loss"] + 0.1


def test_a_scheduled_rate_is_of_no_split(store: MlflowClient) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    inputs, targets = np.ones((8, 4)), np.ones((8, 1))
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1))
    callbacks = [schedule, EpochLogger()]
    with mlflow.start_run() as run:
        model.fit(inputs, targets, epochs=2, validation_data=(inputs, targets), callbacks=callbacks, verbose=0)
    history = store.get_metric_history(run.info.run_id, "learning_rate")
    assert [point.step for point in history] == [1, 2]
    assert [point.value for point in history] == pytest.approx([0.1, 0.05])
    assert "train_learning_rate" not in store.get_run(run.info.run_id).data.metrics
