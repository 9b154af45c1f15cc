"""A small network of the task goes through the whole life, up to the container."""

from __future__ import annotations

import base64
import dataclasses

import numpy as np
import pytest
from mlflow import MlflowClient

from forms.items.micrograph import written
from forms.pictures import pixels
from lifecycle import training
from lifecycle.building import build
from lifecycle.promotion import promote
from lifecycle.scoring import evaluate
from lifecycle.training import train
from tests.conftest import available
from tests.containers import Container, check_golden, docker


@pytest.mark.slow
@pytest.mark.docker
def test_a_container_finds_nuclei_in_pictures_of_any_size(store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked about pictures of 16 bits, one of which is larger than the network's window."""
    monkeypatch.setattr(training, "log_figures", lambda *_: None)
    task = available("nuclei")
    # What is looked at here is not how good it is: it learns from a few pictures, for some seconds.
    task = dataclasses.replace(task, primary=dataclasses.replace(task.primary, floor=0.3))
    small = {"filters": "4", "depth": "3", "train_examples": "100", "learning_rate": "0.01"}
    evaluate(task, train(task, task.configure(overrides=small, epochs=4)).model_uri)
    assert promote(task, "best")
    validation = task.load("validation")
    many = np.block([[validation.inputs[3 * row + column] for column in range(3)] for row in range(3)])
    right = np.block([[validation.targets[3 * row + column] for column in range(3)] for row in range(3)]) > 0
    image = build(task, "champion", "slim", "dlc-test-nuclei")
    try:
        with Container(image, "--read-only", "--tmpfs", "/tmp") as container:
            check_golden(container, "nuclei")
            sent = [written(picture * 257.5) for picture in (many, many[:256, :256])]
            assert base64.b64decode(sent[0]).startswith(b"II*\0")
            large, small_one = (pixels(answer) for answer in container.invoke(sent).json()["predictions"])
            assert large.shape == many.shape == (768, 768)
            assert 2 * (large & right).sum() / (large.sum() + right.sum()) > 0.5
            assert (small_one == large[:256, :256]).mean() > 0.9
    finally:
        docker("rmi", "--force", "dlc-test-nuclei:1", "dlc-test-nuclei:latest")
