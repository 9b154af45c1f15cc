from __future__ import annotations

import base64
import dataclasses
import io
import json
from pathlib import Path

import keras
import mlflow
import numpy as np
import pytest
from PIL import Image

from forms.answer import Answer
from forms.answers.picture import Picture
from forms.items.photograph import CORNER, Photograph
from serving.package import Package, check_values, package, parity, weights_digest
from serving.rehearsal import rehearse
from tasks.contract import Ragged, Split, UserError, get_task
from tests.toys import bubbles


@pytest.fixture(scope="module")
def validation() -> Split:
    return get_task("digits").load("validation")


@pytest.fixture(scope="module")
def model() -> keras.Model:
    task = get_task("digits")
    keras.utils.set_random_seed(1)
    return task.build(task.configure())


@pytest.fixture(scope="module")
def photographs() -> Split:
    pixels = np.random.default_rng(1).integers(0, 256, (3, 70, 80, 3), np.uint8)
    return Split(pixels, pixels)


@pytest.fixture(scope="module")
def negative(photographs: Split, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """A model that makes negatives of pictures of any size."""
    inputs = keras.Input((None, None, 3), dtype="uint8")
    model = keras.Model(inputs, keras.layers.Rescaling(-1.0, offset=255.0)(inputs))
    task = dataclasses.replace(get_task("digits"), item=Photograph(any_size=True), answer=Picture())
    return package(task, model, photographs, tmp_path_factory.mktemp("negative"))


def test_golden_answers_are_those_of_the_keras_model(model: keras.Model, validation: Split, tmp_path: Path) -> None:
    package(get_task("digits"), model, validation, tmp_path)
    golden = json.loads((tmp_path / "golden.json").read_text())
    numbers, strings, pictures = golden["requests"]
    inputs = np.array(numbers["body"]["inputs"], np.uint8)
    decoded = [np.frombuffer(base64.b64decode(text), np.uint8).reshape(8, 8) for text in strings["body"]["inputs"]]
    assert len(inputs) == 8
    np.testing.assert_array_equal(np.stack(decoded), inputs)
    np.testing.assert_allclose(numbers["predictions"], model.predict(inputs, verbose=0), atol=1e-6)
    assert strings["predictions"] == pictures["predictions"] == numbers["predictions"]
    images = [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in pictures["body"]["inputs"]]
    np.testing.assert_array_equal(np.stack(images), inputs)


def test_the_keras_file_can_be_trained_on(model: keras.Model, validation: Split, tmp_path: Path) -> None:
    packaged = package(get_task("digits"), model, validation, tmp_path)
    loaded = keras.models.load_model(packaged.artifacts["keras"])
    assert weights_digest(loaded) == weights_digest(model)
    loaded.fit(validation.inputs, validation.targets, epochs=1, verbose=0)
    assert weights_digest(loaded) != weights_digest(model)


def test_the_digest_sees_a_single_weight(model: keras.Model) -> None:
    before = weights_digest(model)
    weights = model.get_weights()
    weights[-1][0] += 1e-6
    other = keras.models.clone_model(model)
    other.set_weights(weights)
    assert weights_digest(other) != before
    weights[-1][0] = model.get_weights()[-1][0]
    other.set_weights(weights)
    assert weights_digest(other) == before


def test_of_pictures_a_corner_and_a_file_are_golden(negative: Package, photographs: Split) -> None:
    golden = json.loads(Path(negative.artifacts["golden"]).read_text())
    corners, files = golden["requests"]
    pixels = np.array(corners["body"]["inputs"])
    assert pixels.shape == (2, CORNER, CORNER, 3)
    np.testing.assert_array_equal(corners["predictions"], 255 - pixels)
    sent, answers = (
        np.stack([Answer().received(one) for one in of]) for of in (files["body"]["inputs"], files["predictions"])
    )
    np.testing.assert_array_equal(sent, photographs.inputs[[0, -1]])
    np.testing.assert_array_equal(answers, 255 - sent)


def test_outputs_of_different_shapes_are_looked_at_one_by_one() -> None:
    outputs = [np.full((2, 3, 4, 2), 0.5, np.float32), np.full((5, 4, 1, 2), 0.5, np.float32)]
    check_values(bubbles.TASK, Ragged(outputs))
    worse = [outputs[0], outputs[1] + np.float32(0.25)]
    assert parity(Ragged(outputs), Ragged(worse)) == 0.25
    with pytest.raises(UserError, match="expected probabilities"):
        check_values(bubbles.TASK, Ragged(worse))


@pytest.mark.slow
def test_a_model_of_pictures_is_served_and_rehearsed(negative: Package, photographs: Split, tmp_path: Path) -> None:
    negative.save_model(tmp_path / "model")
    served = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    np.testing.assert_array_equal(served.predict(photographs.inputs.tolist()), 255 - photographs.inputs)
    assert served.metadata.metadata["item_shape"] == [None, None, 3]
    rehearsal = rehearse(tmp_path / "model", latency_bound_ms=1000)
    assert (rehearsal.golden, rehearsal.parity) == (2, 0)
