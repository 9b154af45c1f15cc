"""The gateway of models of other forms than digits have."""

from __future__ import annotations

import base64
import dataclasses
import io
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import TestResponse

from forms.answers.labels import Labels
from forms.answers.number import Number
from forms.answers.picture import Picture
from forms.items.photograph import Photograph
from forms.items.row import Row
from forms.items.volume import Volume
from serving.gateway.app import create_app
from serving.gateway.champion import Champion, Release
from tasks.contract import get_task
from tests.forms.scanned import BOX, file
from tests.serving.asking import Alias, drawing, post, totals, upload

TASK = get_task("digits")


@pytest.fixture
def painter(alias: Alias) -> FlaskClient:
    """The gateway of a model that makes negatives of pictures of any size."""

    def predict(items: list[Any]) -> list[np.ndarray]:
        return [255 - np.asarray(item, np.uint8) for item in items]

    item, shape = Photograph(any_size=True), (None, None, 3)
    champion = Champion(
        lambda: alias.version, lambda version: Release(version, item, shape, "uint8", Picture(), {}, predict)
    )
    champion.refresh()
    return create_app(TASK, champion).test_client()


def made(reply: TestResponse) -> np.ndarray:
    assert reply.status_code == 200, reply.text
    assert reply.json is not None
    assert list(reply.json) == ["picture"]
    with Image.open(io.BytesIO(base64.b64decode(reply.json["picture"]))) as image:
        assert image.format == "PNG"
        return np.asarray(image)


def test_a_picture_gets_a_picture(painter: FlaskClient) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    np.testing.assert_array_equal(made(upload(painter, buffer.getvalue())), 255 - pixels)
    np.testing.assert_array_equal(made(painter.post("/predict", json={"image": pixels.tolist()})), 255 - pixels)


def test_a_large_photograph_is_scaled_down(painter: FlaskClient) -> None:
    buffer = io.BytesIO()
    Image.new("CMYK", (4000, 3000)).save(buffer, "JPEG")
    picture = made(upload(painter, buffer.getvalue()))
    assert picture.shape == (480, 640, 3)
    assert picture.max() <= 1  # the negative of white


def test_the_page_and_the_description_know_that_it_paints(painter: FlaskClient, client: FlaskClient) -> None:
    model = painter.get("/model").json
    assert model is not None
    assert (model["kind"], model["shape"], model["labels"]) == ("picture", [None, None, 3], [])
    assert not {"writer", "counted", "form"} & set(model)  # which are for servers
    labelled = client.get("/model").json or {}
    assert (labelled["kind"], labelled["white"]) == ("labels", 16)
    schemas = (painter.get("/openapi.json").json or {})["components"]["schemas"]
    assert schemas["Prediction"]["required"] == ["picture"]
    assert schemas["Item"]["items"]["items"]["items"]["maximum"] == 255


def test_metrics_of_a_painter_have_no_classes(painter: FlaskClient) -> None:
    made(painter.post("/predict", json={"image": [[[1, 2, 3]]]}))
    found = totals(painter)
    assert found["model_requests_total", ()] == 1
    assert not [name for name, _ in found if "predictions" in name]


@pytest.fixture
def scales(alias: Alias) -> FlaskClient:
    """The gateway of a model that weighs a row of a table."""
    row = Row(("height", "width"), (180.0, 30.5))
    release = Release("1", row, (2,), "float32", Number("kg"), {}, lambda items: np.array(items, float)[:, :1] - 100)
    champion = Champion(lambda: alias.version, lambda version: release)
    champion.refresh()
    return create_app(TASK, champion).test_client()


def test_a_row_gets_a_number(scales: FlaskClient) -> None:
    for row in ({"width": 30.5, "height": 180}, [180, 30.5]):
        reply = scales.post("/predict", json={"row": row})
        assert (reply.status_code, reply.json) == (200, {"value": 80.0, "unit": "kg"})
    assert not [name for name, _ in totals(scales) if "predictions" in name]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"row": {"height": 1}}, 400, "There is no value for 'width'."),
        (
            {"row": {"height": 1, "width": 2, "depth": 3}},
            400,
            "There is no column 'depth'. Expected 'height', 'width'.",
        ),
        ({"row": [1]}, 400, "Expected 2 numbers, received 1."),
        ({"image": [1, 2]}, 400, 'Expected a JSON object with the values of a row: {"row": {"height": 180, ...}}.'),
    ],
)
def test_a_bad_row_gets_one_line(scales: FlaskClient, body: Any, status: int, message: str) -> None:
    reply = scales.post("/predict", json=body)
    assert (reply.status_code, reply.json) == (status, {"error": message})


def test_no_file_is_taken_where_an_item_is_none(scales: FlaskClient) -> None:
    reply = upload(scales, drawing(), "row")
    assert (reply.status_code, reply.json) == (415, {"error": "This model does not take files."})
    reply = post(scales, b"x", "text/plain")
    assert (reply.status_code, reply.json) == (415, {"error": "Expected application/json."})


def test_a_row_is_described_with_its_columns(scales: FlaskClient) -> None:
    model = scales.get("/model").json or {}
    assert (model["item"], model["columns"], model["example"]) == ("row", ["height", "width"], [180.0, 30.5])
    assert (model["kind"], model["unit"], model["labels"], model["picture"]) == ("number", "kg", [], None)
    description = scales.get("/openapi.json").json or {}
    assert description["components"]["schemas"]["Prediction"]["required"] == ["value", "unit"]
    assert description["components"]["schemas"]["Item"]["oneOf"][0]["required"] == ["height", "width"]
    assert list(description["paths"]["/predict"]["post"]["requestBody"]["content"]) == ["application/json"]


@pytest.fixture
def scanner(alias: Alias) -> FlaskClient:
    """The gateway of a model that tells whether the first voxel is the least."""

    def predict(items: list[Any]) -> np.ndarray:
        return np.array([[1.0, 0.0] if np.argmin(item) else [0.0, 1.0] for item in items])

    release = Release("1", Volume(), BOX.shape, "uint8", Labels(("elsewhere", "first")), {}, predict)
    champion = Champion(lambda: alias.version, lambda version: release)
    champion.refresh()
    return create_app(TASK, champion).test_client()


def test_a_volume_comes_as_a_file_or_as_numbers(scanner: FlaskClient) -> None:
    reply = upload(scanner, file(BOX), "volume").json or {}
    assert (reply["prediction"], reply["volume"]["shape"]) == (1, [2, 3, 4])
    turned = upload(scanner, file(BOX, np.diag([-1, 1, 1, 1])), "volume").json or {}
    assert turned["prediction"] == 0
    for numbers in (BOX.tolist(), BOX.ravel().tolist()):
        reply = scanner.post("/predict", json={"volume": numbers}).json or {}
        assert reply == {"prediction": 1, "probabilities": [[0.0, 1.0]]}


def test_a_bad_volume_gets_one_line_in_its_own_words(scanner: FlaskClient) -> None:
    reply = upload(scanner, b"no volume", "volume")
    message = "This is not a NIfTI file. Expected a NIfTI file, .nii or .nii.gz. Convert DICOM and other formats first."
    assert (reply.status_code, reply.json) == (422, {"error": message})
    reply = upload(scanner, file(BOX[1:]), "volume")
    message = "Expected a volume of 2×3×4, received one of 1×3×4 voxels (to the right, to the front, up)."
    assert (reply.status_code, reply.json) == (422, {"error": message})
    reply = post(scanner, b"x", "text/plain")
    assert reply.json == {"error": "Expected application/json, or multipart/form-data with a volume."}
    counted = totals(scanner)
    assert [counted["model_errors_total", (("kind", kind),)] for kind in ("encoding", "shape", "image")] == [1, 1, 0]


def test_the_largest_file_is_that_of_the_form(alias: Alias) -> None:
    """Heads are larger than 10 MB, and come as files; lists of numbers of that size are nobody's."""
    head = Volume("float32", any_size=True)
    found = Labels(("foot", "head"))
    release = Release("1", head, (None, None, None), "float32", found, {}, lambda items: np.eye(2)[[1] * len(items)])
    champion = Champion(lambda: alias.version, lambda version: release)
    champion.refresh()
    client = create_app(dataclasses.replace(TASK, item=head), champion).test_client()
    noise = np.random.default_rng(0).random((160, 150, 140), np.float32)
    large = file(noise)
    assert len(large) > 13_000_000
    assert (upload(client, large, "volume").json or {})["prediction"] == 1
    for most, sent in ((70, {"data": {"volume": (io.BytesIO(bytes(70_000_000)), "x.nii")}}), (10, {"data": large})):
        reply = client.post("/predict", **sent, content_type=None if most == 70 else "application/json")
        assert (reply.status_code, reply.json) == (413, {"error": f"Expected at most {most} MB."})
    assert (client.get("/model").json or {})["most_bytes"] == 70_000_000
    refusals = (client.get("/openapi.json").json or {})["paths"]["/predict"]["post"]["responses"]
    assert refusals["413"]["description"] == "More than 70 MB."


def test_a_volume_is_described(scanner: FlaskClient) -> None:
    model = scanner.get("/model").json or {}
    assert [model[name] for name in ("item", "field", "noun", "shape")] == ["volume", "volume", "volume", [2, 3, 4]]
    description = scanner.get("/openapi.json").json or {}
    assert set(description["components"]["schemas"]["Prediction"]["properties"]["volume"]["properties"]) == {
        "shape",
        "bytes",
    }
