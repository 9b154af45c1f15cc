"""The gateway's HTTP side, on a real model of digits that was not trained."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from mlflow.pyfunc import PyFuncModel

from serving.gateway.app import MOST_BYTES, create_app
from serving.gateway.champion import Champion, Release
from serving.gateway.decoders import BusyError
from tasks.contract import get_task
from tests.serving.asking import Alias, drawing, post, release, totals, upload

TASK = get_task("digits")
IMAGE = [0.0] * 20 + [16.0] * 24 + [0.0] * 20


def test_numbers_get_prediction_and_probabilities(client: FlaskClient, served: PyFuncModel) -> None:
    reply = client.post("/predict", json={"image": IMAGE})
    assert reply.status_code == 200
    assert reply.json is not None
    assert list(reply.json) == ["prediction", "probabilities"]
    expected: Any = served.predict([np.reshape(IMAGE, (8, 8)).tolist()])
    np.testing.assert_allclose(reply.json["probabilities"], expected, atol=1e-6)
    assert reply.json["prediction"] == expected[0].argmax()
    assert (reply.headers["X-Model-Name"], reply.headers["X-Model-Version"]) == ("digits", "1")


def test_nested_numbers_are_the_same(client: FlaskClient) -> None:
    nested = np.reshape(IMAGE, (8, 8)).tolist()
    assert client.post("/predict", json={"image": nested}).json == client.post("/predict", json={"image": IMAGE}).json


def test_an_upload_also_tells_what_the_model_saw(client: FlaskClient) -> None:
    reply = upload(client, drawing())
    assert reply.status_code == 200
    answer = dict(reply.json or {})
    seen = answer.pop("image")
    assert np.reshape(seen, (8, 8)).max(axis=1).min() == 16  # a stroke from top to bottom
    assert client.post("/predict", json={"image": seen}).json == answer


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ("", 400, "Expected JSON, received something else."),
        ("[1, 2", 400, "Expected JSON, received something else."),
        (b'{"image": "\xff"}', 400, "Expected JSON, received something else."),
        ("[" * 100_000, 400, "Expected JSON, received something else."),
        ("[1, 2]", 400, 'Expected a JSON object with a list of numbers: {"image": [...]}.'),
        ('{"picture": [1]}', 400, 'Expected a JSON object with a list of numbers: {"image": [...]}.'),
        ('{"image": "7"}', 400, 'Expected a JSON object with a list of numbers: {"image": [...]}.'),
        ('{"image": []}', 400, "Expected 64 numbers, received 0."),
        ('{"image": [1, 2]}', 400, "Expected 64 numbers, received 2."),
        ('{"image": [[1, 2], [3]]}', 400, "Expected an item of shape (8, 8), received a ragged list."),
        (json.dumps({"image": ["7"] * 64}), 400, "Expected numbers only."),
        (json.dumps({"image": [None] * 64}), 400, "Expected numbers only."),
        (json.dumps({"image": [float("nan")] * 64}), 400, "Expected whole numbers from 0 to 255."),
        (json.dumps({"image": [10**400] * 64}), 400, "Expected finite numbers only."),
        (json.dumps({"image": [1.5] * 64}), 400, "Expected whole numbers from 0 to 255."),
        (b" " * (MOST_BYTES + 1), 413, "Expected at most 10 MB."),
    ],
    ids=range(16),
)
def test_bad_numbers_get_one_line(client: FlaskClient, body: str | bytes, status: int, message: str) -> None:
    reply = post(client, body)
    assert (reply.status_code, reply.json) == (status, {"error": message})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_json_may_come_in_any_unicode_encoding(client: FlaskClient, encoding: str) -> None:
    expected = client.post("/predict", json={"image": IMAGE}).json
    reply = post(client, json.dumps({"image": IMAGE}).encode(encoding))
    assert (reply.status_code, reply.json) == (200, expected)


def test_other_media_types_are_refused(client: FlaskClient) -> None:
    expected = "Expected application/json, or multipart/form-data with a picture"
    for content_type in ("text/plain", "application/xml", "application/x-www-form-urlencoded"):
        reply = post(client, b"x", content_type)
        assert (reply.status_code, reply.json) == (415, {"error": f"{expected}."})
    reply = post(client, b"x", "")
    assert (reply.status_code, reply.json) == (415, {"error": f"{expected}, received no Content-Type."})


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip", "GZIP", "x" * 1000])
def test_an_encoded_body_is_refused(client: FlaskClient, encoding: str) -> None:
    headers = {"Content-Encoding": encoding}
    expected = f"Content-Encoding '{encoding[:40]}' is not supported; send the body as it is."
    for body in ({"json": {"image": IMAGE}}, {"data": {"image": (io.BytesIO(drawing()), "picture.png")}}):
        reply = client.post("/predict", headers=headers, **body)
        assert (reply.status_code, reply.json) == (415, {"error": expected})
    assert client.post("/predict", json={"image": IMAGE}, headers={"Content-Encoding": "identity"}).status_code == 200


NO_FILE = "Expected a form with a file in the field 'image', received"


def form(*fields: tuple[str, bytes]) -> bytes:
    parts = [b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (f.encode(), v) for f, v in fields]
    return b"".join(parts) + b"--x--\r\n"


@pytest.mark.parametrize(
    ("body", "content_type", "status", "message"),
    [
        (form(*[(f"field{i}", b"v") for i in range(1500)]), "x", 400, "Expected a form of at most 1,000 fields."),
        (
            form(("image", b"v" * 600_000)),
            "x",
            400,
            f"{NO_FILE} text there; put an @ before the name of the file: image=@file.",
        ),
        (form(("picture", b"v")), "x", 400, f"{NO_FILE} the field 'picture'."),
        (form(("a", b"v")).replace(b'name="a"', b'filename="a"'), "x", 400, f"{NO_FILE} a field without a name."),
        (form(("a", b"v")).replace(b'; name="a"', b""), "x", 400, f"{NO_FILE} a field without a name."),
        (form(("image", b"v" * MOST_BYTES)), "x", 413, "Expected at most 10 MB."),
        (form(("a", b"v"))[:-9], "x", 400, f"{NO_FILE} none that can be read."),
        (b"", "x", 400, f"{NO_FILE} none that can be read."),
        (form(("a", b"v")), "y", 400, f"{NO_FILE} none that can be read."),
        (form(("a", b"v")), "", 400, "Expected the form's boundary in its Content-Type."),
    ],
    ids=range(10),
)
def test_a_bad_form_is_told_its_own_cause(
    client: FlaskClient, body: bytes, content_type: str, status: int, message: str
) -> None:
    reply = post(client, body, f"multipart/form-data; boundary={content_type}")
    assert (reply.status_code, reply.json) == (status, {"error": message})


def test_a_picture_beside_a_long_text_is_answered(client: FlaskClient) -> None:
    data = {"note": "v" * 600_000, "image": (io.BytesIO(drawing()), "picture.png")}
    assert client.post("/predict", data=data).status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_an_address_without_a_path_is_the_page(client: FlaskClient, method: str) -> None:
    # As `GET http://example.org HTTP/1.1` comes from the server.
    reply = client.open("/", method=method, headers={"Host": "example.org"}, environ_overrides={"PATH_INFO": ""})
    assert reply.status_code == 200
    assert "Location" not in reply.headers


@pytest.mark.parametrize(
    "path",
    ["/static//etc/passwd", "/static//", "//static/app.js", "/model//", "/model/", "/static/%2f%2fx"],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
def test_nobody_is_redirected(client: FlaskClient, path: str, method: str) -> None:
    reply = client.open(path, method=method, headers={"Host": "example.org"})
    assert reply.status_code in (404, 405)
    assert "Location" not in reply.headers
    assert "example.org" not in reply.text + str(reply.headers)


def test_bad_uploads_get_one_line(client: FlaskClient) -> None:
    reply = upload(client, b"no picture")
    assert (reply.status_code, reply.json) == (422, {"error": "This is not a PNG or JPEG picture that can be read."})
    reply = upload(client, drawing(), field="file")
    assert (reply.status_code, reply.json) == (400, {"error": f"{NO_FILE} the field 'file'."})
    two = {"image": [(io.BytesIO(drawing()), "one.png"), (io.BytesIO(drawing()), "other.png")]}
    reply = client.post("/predict", data=two)
    assert (reply.status_code, reply.json) == (400, {"error": f"{NO_FILE} 2; send them one by one."})


def test_a_picture_too_many_is_told_when_to_come_back(champion: Champion) -> None:
    def busy(*_: object) -> np.ndarray:
        raise BusyError("Too many.")

    champion.refresh()
    reply = upload(create_app(TASK, champion, busy).test_client(), drawing())
    assert (reply.status_code, reply.json, reply.headers["Retry-After"]) == (503, {"error": "Too many."}, "2")


def test_no_champion_is_told_until_there_is_one(champion: Champion, alias: Alias) -> None:
    alias.version = None
    champion.refresh()
    client = create_app(TASK, champion).test_client()
    for path in ("/readyz", "/model"):
        assert client.get(path).status_code == 503
    reply = client.post("/predict", json={"image": IMAGE})
    assert (reply.status_code, reply.json) == (503, {"error": "There is no champion yet; promote a model first."})
    assert client.get("/healthz").status_code == 200
    assert client.get("/").status_code == 200
    assert totals(client)["model_behind_alias", ()] == 0  # none answers, and none should
    alias.version = "1"
    champion.refresh()
    assert client.get("/readyz").json == {"status": "ready", "version": "1"}


def test_a_version_that_cannot_be_loaded_is_told_without_its_secrets(served: PyFuncModel, alias: Alias) -> None:
    def load(version: str) -> Release:
        if version != "1":
            raise OSError("s3://bucket.example/home/user")
        return release(version, served.predict)

    alias.version = "7"
    champion = Champion(lambda: alias.version, load)
    champion.refresh()
    client = create_app(TASK, champion).test_client()
    for reply in (client.get("/readyz"), client.get("/model"), client.post("/predict", json={"image": IMAGE})):
        assert (reply.status_code, reply.json) == (503, {"error": "Version 7 cannot be loaded."})
    assert totals(client)["model_behind_alias", ()] == 1
    alias.version = "1"
    champion.refresh()
    assert client.get("/readyz").json == {"status": "ready", "version": "1"}
    assert totals(client)["model_behind_alias", ()] == 0
    alias.version = "8"
    champion.refresh()
    expected = {"status": "ready", "version": "1", "champion": "8", "problem": "Version 8 cannot be loaded."}
    assert (client.get("/readyz").status_code, client.get("/readyz").json) == (200, expected)
    assert client.post("/predict", json={"image": IMAGE}).headers["X-Model-Version"] == "1"
    assert totals(client)["model_behind_alias", ()] == 1


def test_a_page_that_asks_again_is_told_that_nothing_changed(
    client: FlaskClient, champion: Champion, alias: Alias
) -> None:
    first = client.get("/model")
    assert first.headers["Cache-Control"] == "no-cache"
    again = client.get("/model", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    alias.version = "2"
    champion.refresh()
    assert client.get("/model", headers={"If-None-Match": first.headers["ETag"]}).status_code == 200


def test_a_new_champion_answers_the_next_request(client: FlaskClient, champion: Champion, alias: Alias) -> None:
    alias.version = "2"
    champion.refresh()
    assert client.post("/predict", json={"image": IMAGE}).headers["X-Model-Version"] == "2"
    assert (client.get("/model").json or {})["version"] == "2"
    served = {labels for name, labels in totals(client) if name == "model_info"}
    assert served == {(("name", "digits"), ("version", "2"))}


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("a secret"), SystemExit("a secret"), KeyboardInterrupt("a secret")]
)
def test_a_fault_of_ours_is_no_stack_trace(error: BaseException) -> None:
    def broken(items: list[Any]) -> np.ndarray:
        raise error

    faulty = Champion(lambda: "1", lambda version: release(version, broken))
    faulty.refresh()
    client = create_app(TASK, faulty).test_client()
    reply = client.post("/predict", json={"image": IMAGE})
    assert reply.status_code == 500
    assert "secret" not in reply.text
    assert list(reply.json or {}) == ["error"]
    assert totals(client)["model_errors_total", (("kind", "internal"),)] == 1


def test_metrics_count_requests_errors_classes_and_confidence(client: FlaskClient) -> None:
    for _ in range(3):
        prediction = (client.post("/predict", json={"image": IMAGE}).json or {})["prediction"]
    post(client, json.dumps({"image": ["7"] * 64}))
    client.get("/nowhere")
    counted = totals(client)
    assert counted["model_requests_total", ()] == 4
    assert counted["model_errors_total", (("kind", "type"),)] == 1
    assert counted["model_predictions_total", (("label", str(prediction)), ("output", ""))] == 3
    assert counted["model_confidence_count", (("output", ""),)] == 3
    assert counted["model_batch_items_sum", ()] == 3
    assert counted["model_seconds_count", ()] == 3
    assert counted["http_requests_total", (("route", "/predict"), ("status", "200"))] == 3
    assert counted["http_requests_total", (("route", "/predict"), ("status", "400"))] == 1
    assert counted["http_requests_total", (("route", "none"), ("status", "404"))] == 1
    assert counted["http_request_seconds_count", (("route", "/predict"),)] == 4


def test_metrics_count_what_never_reached_the_model(client: FlaskClient, alias: Alias, champion: Champion) -> None:
    upload(client, b"no picture")
    upload(client, drawing(), field="file")
    post(client, "{")
    post(client, json.dumps({"image": [1.0]}))
    client.post("/predict", data="7", content_type="text/plain")
    counted = totals(client)
    errors = {kind: counted["model_errors_total", (("kind", kind),)] for kind in ("image", "type", "encoding", "shape")}
    assert errors == {"image": 1, "type": 2, "encoding": 1, "shape": 1}
    assert counted["model_requests_total", ()] == 5


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/static/style.css", "/openapi.json", "/nowhere"])
def test_every_answer_keeps_the_browser_to_this_site(client: FlaskClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_page_s_script_is_served_as_one(client: FlaskClient) -> None:
    assert client.get("/static/app.js").mimetype == "text/javascript"
    assert client.get("/static/../app.py").status_code == 404


def test_a_wrong_method_is_told_the_right_one(client: FlaskClient) -> None:
    reply = client.get("/predict")
    assert reply.status_code == 405
    assert "POST" in reply.headers["Allow"]
    assert list(reply.json or {}) == ["error"]
