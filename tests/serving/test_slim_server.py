"""The slim container's server against MLflow's own, on the same model."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from serving.container import slim_down, slim_server
from serving.hostile import hostile_requests
from serving.rehearsal import read_golden, replay
from serving.server import Client, scoring_server


@pytest.fixture(scope="module")
def slim_port(saved: Path) -> Iterator[int]:
    with slim_server(saved) as port:
        yield port


@pytest.fixture(scope="module")
def stock_port(saved: Path) -> Iterator[int]:
    with scoring_server(saved) as port:
        yield port


@pytest.fixture
def slim(slim_port: int) -> Client:
    return Client(slim_port)  # the servers hang up on who says nothing for five seconds


@pytest.fixture
def stock(stock_port: int) -> Client:
    return Client(stock_port)


def test_golden_requests_are_answered(slim: Client, saved: Path) -> None:
    assert replay(slim.port, read_golden(saved)) < 1e-5


def test_versions_of_before_there_were_pictures_of_any_size_are_served(model: Path) -> None:
    """The server comes with the checkout, the model's own file with the version."""
    (code,) = model.rglob("model.py")
    assert "any_size" in code.read_text()
    code.write_text(code.read_text().replace("any_size", "unknown_then"))
    with slim_server(model) as port:
        assert replay(port, read_golden(model)) < 1e-5


def test_answers_are_mlflow_s_in_large_requests_too(slim: Client, stock: Client, saved: Path) -> None:
    items = read_golden(saved).requests[0]["body"]["inputs"]
    for inputs in (items[:1], items, items * 500):
        body = json.dumps({"inputs": inputs}).encode()
        mine, theirs = (json.loads(client.invoke(body).body) for client in (slim, stock))
        assert mine.keys() == theirs.keys() == {"predictions"}
        np.testing.assert_allclose(mine["predictions"], theirs["predictions"], rtol=1e-6)


def test_hostile_requests_get_the_status_that_mlflow_gives(slim: Client, stock: Client, saved: Path) -> None:
    for request in hostile_requests(read_golden(saved).requests[0]["body"]["inputs"][0]):
        mine, theirs = (Client(client.port).invoke(request.body, request.content_type) for client in (slim, stock))
        assert mine.status in request.statuses, request.name
        if theirs.status < 500:  # deep nesting is too much for MLflow's parser, and refused by ours
            assert mine.status == theirs.status, request.name


@pytest.mark.parametrize("depth", [500, 1_000, 1_500, 100_000])
def test_deep_nesting_is_refused(slim: Client, depth: int) -> None:
    assert slim.invoke(b'{"inputs": ' + b"[" * depth + b"]" * depth + b"}").status == 400


def test_a_body_above_the_limit_is_refused(saved: Path) -> None:
    with slim_server(saved, MOST_BODY_BYTES="100000") as port:
        assert Client(port).invoke(b'{"inputs": ["' + b"A" * 200_000 + b'"]}').status == 413
        assert replay(port, read_golden(saved)) < 1e-5


def test_a_refusal_has_mlflow_s_form_and_does_not_repeat_what_was_sent(slim: Client) -> None:
    reply = slim.invoke(json.dumps({"inputs": ["correct horse"]}).encode())
    assert reply.status == 400
    answer = json.loads(reply.body)
    assert answer["error_code"] == "BAD_REQUEST"
    assert answer["message"] == "expected a string to be base64"
    assert len(slim.invoke(b'{"inputs": ["' + b"A" * 1_000_000 + b'"]}').body) < 1000


def test_what_is_not_plain_goes_mlflow_s_way(slim: Client, saved: Path) -> None:
    items = read_golden(saved).requests[0]["body"]["inputs"]
    assert slim.get("/ping").status == 200
    assert slim.get("/version").status == 200
    assert slim.get("/invocations").status == 405
    with_charset = slim.invoke(json.dumps({"inputs": items}).encode(), "application/json; charset=utf-8")
    assert len(json.loads(with_charset.body)["predictions"]) == len(items)
    with_params = slim.invoke(json.dumps({"inputs": items, "params": None}).encode())
    assert len(json.loads(with_params.body)["predictions"]) == len(items)


def test_a_model_of_other_versions_can_be_contained(saved: Path, tmp_path: Path) -> None:
    """What the model pins is not pinned a second time, in the version of this environment."""
    shutil.copytree(saved, tmp_path / "model_dir")
    (tmp_path / "model_dir" / "requirements.txt").write_text("mlflow==3.0.0\nnumpy==2.0.0\nonnxruntime==1.20.0\n")
    assert slim_down(tmp_path) == ["--build-arg", f"PYTHON_VERSION={platform.python_version()}"]
    names = {line.split("==")[0] for line in (tmp_path / "constraints.txt").read_text().splitlines()}
    assert {"pandas", "fastapi", "orjson"} <= names
    assert not {"mlflow", "mlflow-skinny", "mlflow-tracing", "numpy", "onnxruntime"} & names
