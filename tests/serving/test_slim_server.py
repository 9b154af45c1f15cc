"""The slim container's server against MLflow's own, on the same model."""

from __future__ import annotations

import http.client
import json
import platform
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import requests

from serving.container import slim_context, slim_server
from serving.hostile import hostile_requests
from serving.rehearsal import read_golden, replay
from serving.server import Client, scoring_server
from tests.serving.conftest import servers


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


def test_without_a_record_no_id_is_told(slim: Client, saved: Path) -> None:
    url, body = f"http://127.0.0.1:{slim.port}/invocations", read_golden(saved).requests[0]["body"]
    reply = requests.post(url, json=body, headers={"X-Request-Id": "order-7"}, timeout=5)
    assert reply.status_code == 200
    assert "X-Request-Id" not in reply.headers


def test_versions_of_before_there_were_pictures_of_any_size_are_served(model: Path) -> None:
    """The server comes with the checkout, the model's own file with the version."""
    (code,) = model.glob("code/*/model.py")
    assert "self.any_size" in code.read_text()
    code.write_text(code.read_text().replace("self.any_size", "self.unknown_then"))
    with slim_server(model) as port:
        assert replay(port, read_golden(model)) < 1e-5


def test_answers_are_mlflow_s_in_large_requests_too(slim: Client, stock: Client, saved: Path) -> None:
    items = read_golden(saved).items("numbers")
    for inputs in (items[:1], items, items * 500):
        body = json.dumps({"inputs": inputs}).encode()
        mine, theirs = (json.loads(client.invoke(body).body) for client in (slim, stock))
        assert mine.keys() == theirs.keys() == {"predictions"}
        np.testing.assert_allclose(mine["predictions"], theirs["predictions"], rtol=1e-6)


def test_hostile_requests_get_the_status_that_mlflow_gives(slim: Client, stock: Client, saved: Path) -> None:
    golden = read_golden(saved)
    for request in hostile_requests(golden.items("numbers")[0], golden.item):
        mine, theirs = (Client(client.port).invoke(request.body, request.content_type) for client in (slim, stock))
        assert mine.status in request.statuses, request.name
        if theirs.status < 500:  # deep nesting is too much for MLflow's parser, and refused by ours
            assert mine.status == theirs.status, request.name


@pytest.mark.parametrize("depth", [500, 1_000, 1_500, 100_000])
def test_deep_nesting_is_refused(slim: Client, depth: int) -> None:
    assert slim.invoke(b'{"inputs": ' + b"[" * depth + b"]" * depth + b"}").status == 400


def test_a_body_above_the_limit_is_refused(saved: Path) -> None:
    """Before it comes, and whatever it is; what else is bounded is tested in test_protocol.py."""
    head = b"POST /anything HTTP/1.1\r\nContent-Type: text/csv\r\nContent-Length: 100001\r\n\r\n"
    with slim_server(saved, MOST_BODY_BYTES="100000") as port:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(head)
            assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")
        assert Client(port).invoke(b'{"inputs": ["' + b"A" * 200_000 + b'"]}').status == 413
        assert replay(port, read_golden(saved)) < 1e-5


@pytest.mark.slow
def test_memory_comes_back(model: Path) -> None:
    """After what is not JSON, what is, and what breaks off; all of it as large as is allowed."""
    bodies = [b"A" * 30_000_000, b'{"inputs": [' + b"0," * 15_000_000 + b"0]}"]
    head = b"POST /invocations HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 30000001\r\n\r\n"
    with slim_server(model) as port:
        replay(port, read_golden(model))
        (server,) = map(psutil.Process, servers(model))
        before = server.memory_info().rss
        for body in bodies:
            assert Client(port).invoke(body).status == 400
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall(head + body[:29_000_000])
        replay(port, read_golden(model))
        assert server.memory_info().rss < 1.2 * before


def test_a_refusal_has_mlflow_s_form_and_does_not_repeat_what_was_sent(slim: Client) -> None:
    reply = slim.invoke(json.dumps({"inputs": ["correct horse"]}).encode())
    assert reply.status == 400
    answer = json.loads(reply.body)
    assert answer["error_code"] == "BAD_REQUEST"
    assert answer["message"] == "expected a string to be base64"
    assert len(slim.invoke(b'{"inputs": ["' + b"A" * 1_000_000 + b'"]}').body) < 1000


JSON = "application/json"


def bombs(columns: int) -> dict[str, tuple[bytes, str]]:
    """Small requests that would become tables of that many rows and columns."""
    names = [f"c{number}" for number in range(columns)]
    split = {"columns": names, "data": [[1]] * columns}
    return {
        "CSV": ((",".join(names) + "\n" + "1\n" * columns).encode(), "text/csv"),
        "CSV of an old Macintosh": ((",".join(names) + "\r" + "1\r" * columns).encode(), "text/csv"),
        "records": (json.dumps({"dataframe_records": [{name: 1} for name in names]}).encode(), JSON),
        "rows": (json.dumps({"dataframe_split": {"data": [[1]] * columns + [[1] * columns]}}).encode(), JSON),
        "split": (json.dumps({"dataframe_split": split}).encode(), JSON),
    }


@pytest.mark.parametrize("bomb", bombs(1))
def test_a_small_request_does_not_become_a_table_of_gigabytes(slim: Client, bomb: str) -> None:
    body, content_type = bombs(100_000)[bomb]  # 80 GB, were it filled up
    headers = {"Content-Type": content_type}
    connection = http.client.HTTPConnection("127.0.0.1", slim.port, timeout=10)
    connection.request("POST", "/invocations", body, headers)
    response = connection.getresponse()
    assert response.status == 400
    assert b"c99" not in response.read()


SECRET = "correct horse"
JSON_HEADERS = {"Content-Type": "application/json"}
REFUSED = {
    "table": (400, "/invocations", SECRET, {"Content-Type": "text/csv"}),
    "Parquet": (415, "/invocations", SECRET, {"Content-Type": "application/vnd.apache.parquet"}),
    "no media type": (415, "/invocations", SECRET, {}),
    "another media type": (415, "/invocations", SECRET, {"Content-Type": f"text/{SECRET}"}),
    "another charset": (415, "/invocations", SECRET, {"Content-Type": f"application/json; charset={SECRET}"}),
    "gzip": (415, "/invocations", SECRET, {"Content-Type": "application/json", "Content-Encoding": "gzip"}),
    "no JSON": (400, "/invocations", SECRET, JSON_HEADERS),
    "no object": (400, "/invocations", json.dumps([SECRET]), JSON_HEADERS),
    "another field": (400, "/invocations", json.dumps({SECRET: SECRET}), JSON_HEADERS),
    "instances": (400, "/invocations", json.dumps({"instances": [SECRET]}), JSON_HEADERS),
    "frame": (
        400,
        "/invocations",
        json.dumps({"dataframe_split": {"columns": [SECRET], "data": [[SECRET]]}}),
        {"Content-Type": "application/json; charset=utf-8"},
    ),
    "no frame": (400, "/invocations", json.dumps({"dataframe_split": [SECRET]}), JSON_HEADERS),
    "ragged records": (400, "/invocations", json.dumps({"dataframe_records": [{"a": 1}, SECRET]}), JSON_HEADERS),
    "rows of two lengths": (
        400,
        "/invocations",
        json.dumps({"dataframe_split": {"columns": ["a"], "data": [[SECRET], [1, 2]]}}),
        JSON_HEADERS,
    ),
    "a chat": (
        400,
        "/invocations",
        json.dumps({"inputs": [], "messages": SECRET}),
        {"Content-Type": "application/json"},
    ),
    "another path": (404, f"/{SECRET.replace(' ', '')}", SECRET, {}),
    "a slash too many": (404, "/ping/", SECRET, {"Host": SECRET.replace(" ", "")}),
    "another method": (405, "/ping", SECRET, {}),
}


@pytest.mark.parametrize(("status", "path", "body", "headers"), REFUSED.values(), ids=REFUSED)
def test_every_refusal_is_one_line_without_what_was_sent(
    slim: Client, status: int, path: str, body: str, headers: dict[str, str]
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", slim.port, timeout=5)
    connection.request("POST", path, body, headers)
    response = connection.getresponse()
    text = response.read().decode()
    assert response.status == status
    assert json.loads(text).keys() == {"error_code", "message"}
    told = text + str(response.headers)
    assert not any(word in told for word in (*SECRET.split(), "Traceback", "site-packages"))
    assert len(text.splitlines()) == 1


def test_a_refused_method_is_told_which_are_allowed(slim: Client) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", slim.port, timeout=5)
    connection.request("GET", "/invocations")
    response = connection.getresponse()
    assert (response.status, response.headers["allow"]) == (405, "POST")


def test_paths_of_mlflow_s_server_are_answered(slim: Client, stock: Client) -> None:
    for path in ("/ping", "/health", "/version", "/openapi.json"):
        assert slim.get(path) == stock.get(path)
        assert slim.get(path).status == 200


ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
FIELDS = {
    "ignored": '"more": [1], "params": {"a": NaN}',
    "no params": '"params": null',
    "other forms": '"instances": [1], "dataframe_split": {}',
    "twice": '"inputs": []',
    "half a surrogate": '"more": "\\ud800"',
    "large number": '"more": ' + "1" * 4000,
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_json_is_read_in_every_encoding_that_mlflow_s_server_reads(
    slim: Client, stock: Client, saved: Path, encoding: str
) -> None:
    body = json.dumps({"more": "\xe9", **read_golden(saved).requests[0]["body"]}, ensure_ascii=False).encode(encoding)
    check_same(slim, stock, body, JSON)


@pytest.mark.parametrize("fields", FIELDS.values(), ids=FIELDS)
def test_fields_besides_are_let_through_as_mlflow_s_server_does(
    slim: Client, stock: Client, saved: Path, fields: str
) -> None:
    body = "{" + fields + ", " + json.dumps(read_golden(saved).requests[0]["body"])[1:] + "\n"
    check_same(slim, stock, body.encode(), JSON)


def test_it_says_in_the_same_ways_how_an_answer_may_be_given(slim: Client, stock: Client, saved: Path) -> None:
    inputs = json.dumps(read_golden(saved).requests[0]["body"]["inputs"])
    asked = f'{{"inputs": {inputs}, "params": {{"labels": true, "more": 1}}}}'
    check_same(slim, stock, asked.encode(), JSON)
    assert set(map(type, json.loads(slim.invoke(asked.encode()).body)["predictions"])) == {int}
    for params in ('{"labels": "yes"}', "7", '["labels"]'):
        refused = f'{{"inputs": {inputs}, "params": {params}}}'.encode()
        assert (slim.invoke(refused).status, stock.invoke(refused).status) == (400, 400), params
    assert "true or false for labels" in slim.invoke(refused).body.decode()


@pytest.mark.parametrize("media_type", [f"{JSON}; charset=utf-8", f"{JSON};charset=UTF-8", f"{JSON} ; charset=utf-8"])
def test_the_charset_may_be_named(slim: Client, stock: Client, saved: Path, media_type: str) -> None:
    check_same(slim, stock, json.dumps(read_golden(saved).requests[0]["body"]).encode(), media_type)


def check_same(slim: Client, stock: Client, body: bytes, media_type: str) -> None:
    """Both answer, and with the same predictions."""
    mine, theirs = (client.invoke(body, media_type) for client in (slim, stock))
    assert (mine.status, theirs.status) == (200, 200)
    np.testing.assert_allclose(json.loads(mine.body)["predictions"], json.loads(theirs.body)["predictions"], rtol=1e-6)


def test_a_fault_of_the_model_is_told_in_one_line(model: Path) -> None:
    (code,) = model.glob("code/*/model.py")
    faults = "raise SystemExit", "raise TypeError('/opt/ml/model')", "return object()"
    lines = [f"        if model_input == [{number}]: {fault}\n" for number, fault in enumerate(faults)]
    head, body = code.read_text().split("        if not self._settled:", 1)
    code.write_text(f"{head}{''.join(lines)}        if not self._settled:{body}")
    with slim_server(model) as port:
        for number in range(len(faults)):
            reply = Client(port).invoke(json.dumps({"inputs": [number]}).encode())
            assert reply.status == 500
            assert json.loads(reply.body) == {"error_code": "INTERNAL_ERROR", "message": "the model failed"}
        assert replay(port, read_golden(model)) < 1e-5


def test_a_model_of_other_versions_can_be_contained(saved: Path, tmp_path: Path) -> None:
    """What the model pins is not pinned a second time, in the version of this environment."""
    shutil.copytree(saved, tmp_path / "model_dir")
    (tmp_path / "model_dir" / "requirements.txt").write_text("mlflow==3.0.0\nnumpy==2.0.0\nonnxruntime==1.20.0\n")
    assert slim_context(tmp_path, "# A card") == ["--build-arg", f"PYTHON_VERSION={platform.python_version()}"]
    names = {line.split("==")[0] for line in (tmp_path / "constraints.txt").read_text().splitlines()}
    assert {"pandas", "fastapi", "orjson"} <= names
    assert not {"mlflow", "mlflow-skinny", "mlflow-tracing", "numpy", "onnxruntime"} & names
