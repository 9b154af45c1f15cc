"""The whole life of a model of each form: trained, evaluated, rehearsed, promoted, and asked by the gateway."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import io
import json
import re
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pytest
from flask.testing import FlaskClient
from mlflow import MlflowClient
from nibabel.nifti1 import Nifti1Image
from PIL import Image
from sklearn.datasets import load_sample_image

from forms.answers.labels import Labels
from forms.answers.number import Number
from forms.answers.several import Several
from forms.pictures import pixels, png
from lifecycle import training
from lifecycle.building import build
from lifecycle.promotion import promote
from lifecycle.releases import release
from lifecycle.scoring import evaluate
from lifecycle.training import train
from registry.ledger import champion as champion_version
from serving.gateway.app import create_app
from serving.gateway.champion import Champion
from serving.gateway.loading import Loader
from tasks.contract import Task, UserError, get_task
from tests.conftest import use_store
from tests.containers import Container, check_golden, docker, workers
from tests.forms.scanned import affine_of, file, stored_as
from tests.toys import bloom, bubbles, diabetes, negative, rods, strokes


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


@pytest.fixture(scope="module")
def negatives_database(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which `negative` has a champion, version 1."""
    path = tmp_path_factory.mktemp("negative") / "mlflow.db"
    shutil.copy(empty_database, path)
    with pytest.MonkeyPatch.context() as patch:
        use_store(patch, path)
        patch.setattr(training, "log_figures", lambda *_: None)
        evaluate(negative.TASK, train(negative.TASK, negative.TASK.configure()).model_uri)
        assert promote(negative.TASK, "best")
    return path


@pytest.fixture
def negatives(negatives_database: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    return use_store(monkeypatch, negatives_database)


def photograph(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(load_sample_image("china.jpg")).resize((width, height)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


@pytest.mark.slow
def test_a_photograph_gets_a_picture(negatives: MlflowClient) -> None:
    version = negatives.get_model_version_by_alias("negative", "champion")
    assert json.loads(version.tags["rehearsal"])["golden"] == 2
    gateway = served(negatives, negative.TASK)
    for sent, made in (((64, 64), (64, 64)), ((333, 77), (333, 77)), ((1280, 960), (640, 480)), ((1, 1), (1, 1))):
        reply = gateway.post("/predict", data={"image": (io.BytesIO(photograph(*sent)), "photo.jpg")})
        assert reply.status_code == 200, reply.text
        picture = pixels((reply.json or {})["picture"])
        assert picture.shape == (made[1], made[0], 3)
        seen = np.asarray(Image.open(io.BytesIO(photograph(*made))))
        assert np.abs(255.0 - seen - picture).mean() < 25


@pytest.mark.slow
@pytest.mark.docker
def test_a_container_makes_pictures_too(negatives: MlflowClient) -> None:
    name = "dlc-test-negative"
    image = build(negative.TASK, "champion", "slim", name)
    try:
        with Container(image, "--read-only", "--tmpfs", "/tmp") as container:
            check_golden(container, "negative")
            reply = container.invoke([base64.b64encode(photograph(100, 50)).decode()])
            assert pixels(reply.json()["predictions"][0]).shape == (50, 100, 3)
        assert workers(image, "--cpus", "2", "--memory", "600m") >= 1
    finally:
        docker("rmi", "--force", f"{name}:1", f"{name}:latest")


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


@pytest.mark.slow
def test_a_volume_gets_a_label_however_its_axes_run(store: MlflowClient, no_figures: None) -> None:
    task = rods.TASK
    evaluate(task, train(task, task.configure()).model_uri)
    assert promote(task, "best")
    gateway = served(store, task)
    axes, signs = (2, 0, 1), (-1, 1, -1)
    test = task.load("test")
    right = []
    for volume, target in zip(test.inputs, test.targets, strict=True):
        sent = gzip.compress(file(stored_as(volume, axes, signs), affine_of(axes, signs)))
        reply = gateway.post("/predict", data={"volume": (io.BytesIO(sent), "rod.nii.gz")}).json or {}
        assert reply["volume"]["shape"] == list(rods.SIDES)
        straight = gateway.post("/predict", json={"volume": volume.tolist()}).json or {}
        assert reply["prediction"] == straight["prediction"]
        right.append(reply["prediction"] == target)
    assert (gateway.get("/model").json or {})["figures"]["test_accuracy"] == pytest.approx(np.mean(right))


@pytest.fixture
def champion_of_bubbles(store: MlflowClient, no_figures: None) -> None:
    evaluate(bubbles.TASK, train(bubbles.TASK, bubbles.TASK.configure()).model_uri)
    assert promote(bubbles.TASK, "best")


@pytest.mark.slow
@pytest.mark.docker
def test_a_container_masks_volumes(champion_of_bubbles: None) -> None:
    image = build(bubbles.TASK, "champion", "slim", "dlc-test-bubbles")
    try:
        with Container(image, "--read-only", "--tmpfs", "/tmp") as container:
            check_golden(container, "bubbles")
            box, _ = bubbles.box((40, 17, 33), np.random.default_rng(4))
            sent = gzip.compress(file(box[::-1], affine_of((0, 1, 2), (-1, 1, 1))))
            (answer,) = container.invoke([base64.b64encode(sent).decode()]).json()["predictions"]
            mask = Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(answer)))
            np.testing.assert_array_equal(mask.affine, affine_of((0, 1, 2), (-1, 1, 1)))
            (within,) = mlflow.pyfunc.load_model("models:/bubbles@champion").predict([box])
            np.testing.assert_array_equal(np.asarray(mask.dataobj)[::-1], within.argmax(axis=-1))
    finally:
        docker("rmi", "--force", "dlc-test-bubbles:1", "dlc-test-bubbles:latest")


@pytest.mark.slow
def test_a_volume_of_any_size_gets_a_mask_that_lies_where_it_does(
    store: MlflowClient, champion_of_bubbles: None
) -> None:
    task = bubbles.TASK
    gateway = served(store, task)
    model = mlflow.pyfunc.load_model("models:/bubbles@champion")
    generator = np.random.default_rng(4)
    axes, signs = (2, 0, 1), (-1, 1, -1)
    for sides in ((12, 11, 10), (7, 6, 8), (40, 17, 33)):  # the last is larger than a window
        volume, right = bubbles.box(sides, generator)
        sent = gzip.compress(file(stored_as(volume, axes, signs), affine_of(axes, signs)))
        reply = gateway.post("/predict", data={"volume": (io.BytesIO(sent), "box.nii.gz")}).json or {}
        mask = Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(reply["mask"])))
        np.testing.assert_array_equal(mask.affine, affine_of(axes, signs))
        found = np.asarray(mask.dataobj)
        (straight,) = model.predict([volume])
        np.testing.assert_array_equal(found, stored_as(straight.argmax(axis=-1), axes, signs))
        wanted = stored_as(right, axes, signs)
        assert (found * wanted).sum() > 0.5 * wanted.sum()  # it lies on the bubble; how well is the gate's business
        assert reply["millilitres"]["bubble"] == pytest.approx(found.sum() * 0.008)
        (again,) = model.predict([base64.b64encode(sent).decode()])
        assert base64.b64decode(again) == base64.b64decode(reply["mask"])


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
