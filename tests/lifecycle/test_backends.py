"""Keras may compute with something else than TensorFlow: what was trained there goes through the whole life."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from lifecycle.libraries import libraries
from tasks.contract import UserError, get_task
from tests.conftest import Step


@pytest.mark.tools
@pytest.mark.parametrize("task", ["digits", "mnist"])
def test_a_model_that_jax_trained_becomes_a_champion_that_serves(store: MlflowClient, step: Step, task: str) -> None:
    pytest.importorskip("jax", reason="requirements-dev.txt is not installed")
    try:
        images = get_task(task).load("validation").inputs[:100]
    except UserError as error:  # no source has it
        pytest.skip(str(error))
    main = step("main", "--task", task, KERAS_BACKEND="jax")
    assert main.returncode == 0, main.stderr
    version = store.get_model_version_by_alias(task, "champion")
    run = store.get_run(str(version.run_id))
    assert run.data.metrics["onnx_max_abs_diff"] < 1e-4
    champion = f"models:/{task}@champion"
    served = mlflow.pyfunc.load_model(champion).predict(images)
    np.testing.assert_allclose(served, mlflow.keras.load_model(champion).predict(images, verbose=0), atol=1e-5)


@pytest.mark.parametrize(
    ("backend", "message"),
    [("numpy", "Keras cannot train with numpy"), ("torch", "told to compute with torch, which is not installed")],
)
def test_what_cannot_train_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, backend: str, message: str
) -> None:
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert libraries()["backend"] == "tensorflow"
    (tmp_path / "keras.json").write_text(json.dumps({"backend": backend}))
    with pytest.raises(UserError, match=message):
        libraries()
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")  # goes before the file
    assert libraries()["backend"] == "tensorflow"
