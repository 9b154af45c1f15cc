"""Generated requests: 20,000 each to MLflow's scoring server, to the slim container's and to the gateway, half of them
mutations of valid ones."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from serving.container import slim_server
from serving.rehearsal import read_golden
from serving.server import scoring_server
from tests.conftest import ROOT, Gateway

pytest.importorskip("hypothesis", reason="requirements-dev.txt is not installed")
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.tools
REQUESTS = 20_000
WARM_UP = 2_000  # requests after which the memory is first looked at
SECRET = "correct horse battery staple"  # what a reply must never repeat
JSON = "application/json"
# What breaks parsers; put in at random places.
TOKENS = (
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"null",
    b"{}",
    b"[]",
    b"[[",
    b'"',
    b"\\u0000",
    b"\xff",
    b",",
    b"-",
    b"1" * 400,
)

Send = Callable[[bytes, str], tuple[int, str]]


def mutated(body: bytes) -> st.SearchStrategy[bytes]:
    """The body with one to four changes: a byte, a piece removed or doubled, a token put in."""

    def apply(changes: list[tuple[int, int, int, bytes]]) -> bytes:
        result = body
        for kind, start, length, token in changes:
            at = start % max(len(result), 1)
            piece = result[at : at + length]
            result = (
                result[:at]
                + {0: token[:1], 1: b"", 2: piece + piece, 3: token + piece, 4: token}[kind]
                + result[at + len(piece) :]
            )
        return result

    change = st.tuples(st.integers(0, 4), st.integers(0, 10**6), st.integers(0, 40), st.sampled_from(TOKENS))
    return st.lists(change, min_size=1, max_size=4).map(apply)


def arbitrary(fields: tuple[str, ...]) -> st.SearchStrategy[bytes]:
    """JSON of any kind, often under a field that the server knows, and bytes of any kind."""
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(SECRET)
    values = st.recursive(
        leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=20
    )
    known = st.dictionaries(st.sampled_from(fields), values, max_size=2)
    return (known | values).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200)


def attack(
    send: Send, valid: list[bytes], fields: tuple[str, ...], types: tuple[str, ...], process: psutil.Process
) -> None:
    """Sends REQUESTS requests; every one is answered without a server error, and the process stays what it was."""
    bodies = st.sampled_from(valid).flatmap(mutated) | arbitrary(fields)
    sent, memory = 0, 0
    born = process.create_time()

    @settings(
        max_examples=REQUESTS,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(bodies, st.sampled_from((JSON,) * 8 + types))
    def run(body: bytes, content_type: str) -> None:
        nonlocal sent, memory
        status, text = send(body, content_type)
        assert status < 500, (status, text, body)
        sent += 1
        if sent == WARM_UP:
            memory = process.memory_info().rss

    run()
    assert sent >= 0.9 * REQUESTS  # hypothesis may find that there are no more different ones
    assert process.is_running()
    assert process.create_time() == born
    assert process.memory_info().rss < 1.1 * memory
    for body in valid:
        assert send(body, JSON)[0] == 200


def sender(port: int, path: str) -> Send:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def send(body: bytes, content_type: str) -> tuple[int, str]:
        connection.request("POST", path, body, {"Content-Type": content_type})
        response = connection.getresponse()
        return response.status, response.read().decode()

    return send


@pytest.mark.parametrize("server", [scoring_server, slim_server])
def test_a_scoring_server_stands_generated_requests(server: Callable[..., Any], saved: Path) -> None:
    bodies = [request["body"]["inputs"][:2] for request in read_golden(saved).requests]
    valid = [json.dumps({"inputs": items}).encode() for items in bodies]
    types = ("text/csv", "text/plain", "application/json; charset=latin-1", "application/vnd.apache.parquet")
    fields = ("inputs", "instances", "dataframe_split", "params")
    with server(saved) as port:
        children = psutil.Process().children(recursive=True)
        (process,) = [child for child in children if child.name() == "uvicorn"]
        attack(sender(port, "/invocations"), valid, fields, types, process)


def test_the_gateway_stands_generated_requests(gateway: Gateway) -> None:
    valid = [json.dumps({"image": [0, 16] * 32}).encode(), json.dumps({"image": [[0, 16] * 4] * 8}).encode()]
    plain = sender(gateway.port, "/predict")

    def send(body: bytes, content_type: str) -> tuple[int, str]:
        status, text = plain(body, content_type)
        assert "Traceback" not in text
        assert SECRET not in text
        assert status == 200 or list(json.loads(text)) == ["error"]
        return status, text

    types = ("text/csv", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "a/b; c=d")
    attack(send, valid, ("image", "inputs"), types, psutil.Process(gateway.process.pid))


def test_the_gateway_is_what_its_openapi_document_says(gateway: Gateway) -> None:
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(ROOT / "schemathesis.toml")]
    command += ["run", f"{gateway.url}/openapi.json", "--max-examples", "300", "--seed", "1", "--no-color"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stdout
    assert "No issues found" in result.stdout
