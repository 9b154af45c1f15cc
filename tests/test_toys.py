"""The whole life of a model of each form: trained, evaluated, rehearsed, promoted, and asked by the gateway."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re

import numpy as np
import pytest
from flask.testing import FlaskClient
from mlflow import MlflowClient

from forms.answers.labels import Labels
from forms.answers.number import Number
from forms.answers.picture import pixels
from forms.answers.several import Several
from forms.pictures import png
from lifecycle.promotion import promote
from lifecycle.releases import release
from lifecycle.scoring import evaluate
from lifecycle.training import train
from registry.ledger import champion as champion_version
from serving.gateway.app import create_app
from serving.gateway.champion import Champion
from serving.gateway.loading import Loader
from tasks.contract import Task, UserError, get_task
from tests.toys import bloom, diabetes, strokes


def served(client: MlflowClient, task: Task) -> FlaskClient:
    """The gateway of the task's champion."""
    loader = Loader()
    champion = Champion(
        lambda: champion_version(client, task.name), lambda version: release(client, task, version, loader)
    )
    for _ in range(60):  # each waits a second for a version that is being loaded
        champion.refresh()
        if champion.release:
            break
    return create_app(task, champion).test_client()


@pytest.mark.slow
def test_a_row_gets_a_number_and_an_interval(store: MlflowClient, no_figures: None) -> None:
    task = diabetes.TASK
    evaluate(task, train(task, task.configure()).model_uri)
    assert promote(task, "best")
    version = store.get_model_version_by_alias("diabetes", "champion")
    rehearsal = json.loads(version.tags["rehearsal"])
    assert rehearsal["golden"] == 2
    assert rehearsal["hostile"] > 20
    gateway = served(store, task)
    model = gateway.get("/model").json or {}
    test = task.load("test")
    rows = [dict(zip(model["columns"], row, strict=True)) for row in test.inputs.tolist()]
    replies = [gateway.post("/predict", json={"row": row}).json or {} for row in rows]
    errors = np.abs([reply["value"] for reply in replies] - test.targets)
    assert model["figures"]["test_mae"] == pytest.approx(errors.mean(), rel=1e-4)
    within = [reply["low"] <= target <= reply["high"] for reply, target in zip(replies, test.targets, strict=True)]
    assert model["figures"]["test_within"] == pytest.approx(np.mean(within))
    assert np.mean(within) > 0.75


@pytest.mark.slow
def test_a_photograph_gets_a_mask(store: MlflowClient, no_figures: None) -> None:
    task = bloom.TASK
    evaluate(task, train(task, task.configure()).model_uri)
    assert promote(task, "best")
    gateway = served(store, task)
    test = task.load("test")
    dice = []
    for inputs, right in zip(test.inputs, test.targets, strict=True):
        upload = {"image": (io.BytesIO(base64.b64decode(png(inputs))), "piece.png")}
        reply = gateway.post("/predict", data=upload).json or {}
        np.testing.assert_array_equal(reply["image"], inputs.ravel())
        found = pixels(reply["mask"])
        assert reply["shares"]["bloom"] == pytest.approx((found == 1).mean())
        sides = found.sum() + right.sum()
        dice.append(2 * (found * right).sum() / sides if sides else 1.0)
    assert (gateway.get("/model").json or {})["figures"]["test_dice"] == pytest.approx(np.mean(dice), rel=1e-6)


@pytest.mark.slow
def test_a_drawing_gets_two_answers(store: MlflowClient, no_figures: None) -> None:
    task = strokes.TASK
    evaluate(task, train(task, task.configure()).model_uri)
    assert promote(task, "best")
    gateway = served(store, task)
    test = task.load("test")
    replies = [gateway.post("/predict", json={"image": one}).json or {} for one in test.inputs.tolist()]
    right = [reply["answers"]["digit"]["prediction"] for reply in replies] == test.targets["digit"]
    errors = np.abs([reply["answers"]["ink"]["value"] for reply in replies] - test.targets["ink"])
    figures = (gateway.get("/model").json or {})["figures"]
    assert figures["test_accuracy"] == pytest.approx(right.mean())
    assert figures["test_ink_mae"] == pytest.approx(errors.mean(), rel=1e-4)
    counted = gateway.get("/metrics").text
    assert sum(
        int(float(n)) for n in re.findall(r'model_predictions_total\{.*output="digit".*\} (\S+)', counted)
    ) == len(test)


def test_an_output_that_the_task_does_not_name_is_an_error(store: MlflowClient) -> None:
    task = dataclasses.replace(strokes.TASK, answer=Labels(strokes.DIGITS))
    with pytest.raises(UserError, match=r"^The model of strokes has \['digit', 'ink'\], its answer names one output"):
        train(task, task.configure())
    task = dataclasses.replace(strokes.TASK, answer=Several({"digit": Labels(strokes.DIGITS), "paper": Number()}))
    with pytest.raises(UserError, match=r"has \['digit', 'ink'\], its answer names \['digit', 'paper'\]"):
        train(task, task.configure())
    short = dataclasses.replace(get_task("digits").configure(), epochs=1, train_examples=32)
    task = dataclasses.replace(get_task("digits"), name="strokes", answer=strokes.TASK.answer)
    with pytest.raises(UserError, match=r"has one output without a name, its answer names \['digit', 'ink'\]"):
        train(task, short)
