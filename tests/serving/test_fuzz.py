"""Generated requests: 12,000 each to MLflow's scoring server, to the slim container's and to the gateway, half of them
mutations of valid ones. Making them up takes longer than answering them, so each is sent several times; with
`FUZZ_REQUESTS=12000` all of them differ."""

from __future__ import annotations

import http.client
import io
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image, ImageDraw

from serving.container import slim_server
from serving.rehearsal import read_golden
from serving.server import scoring_server
from tests.conftest import ROOT
from tests.gateways import Gateway

pytest.importorskip("hypothesis", reason="requirements-dev.txt is not installed")
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.tools
REQUESTS = 12_000
DIFFERENT = int(os.environ.get("FUZZ_REQUESTS", 3_000))
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

Request = tuple[bytes, str]  # body and media type
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
    send: Send, valid: list[Request], fields: tuple[str, ...], types: tuple[str, ...], process: psutil.Process
) -> None:
    """Sends REQUESTS requests, DIFFERENT of them; each is answered without a server error, and the process stays.

    Args:
        send: Sends a body with a media type.
        valid: Requests that are answered with 200, to be mutated.
        fields: What the server knows in a JSON object.
        types: Further media types to try now and then.
        process: The server.
    """
    requests = st.sampled_from(valid).flatmap(
        lambda one: st.tuples(mutated(one[0]), st.sampled_from((one[1],) * 8 + types))
    ) | st.tuples(arbitrary(fields), st.sampled_from((JSON,) * 8 + types))
    made: list[Request] = []
    memory = 0
    born = process.create_time()

    @settings(
        max_examples=DIFFERENT,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(requests)
    def run(request: Request) -> None:
        nonlocal memory
        answered(request)
        made.append(request)
        if len(made) == WARM_UP:
            memory = process.memory_info().rss

    def answered(request: Request) -> None:
        status, text = send(*request)
        assert status < 500, (status, text, request)

    run()
    assert len(made) >= 0.9 * DIFFERENT  # hypothesis may find that there are no more different ones
    for request in itertools.islice(itertools.cycle(made), REQUESTS - len(made)):
        answered(request)
    assert process.is_running()
    assert process.create_time() == born
    assert process.memory_info().rss < 1.055 * memory
    for request in valid:
        assert send(*request)[0] == 200


def form(picture: bytes) -> Request:
    """An upload."""
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    return head + picture + b"\r\n--x--\r\n", "multipart/form-data; boundary=x"


def drawing(kind: str) -> bytes:
    image = Image.new("L", (60, 60), 255)
    ImageDraw.Draw(image).line((30, 10, 30, 50), fill=0, width=6)
    exif = Image.Exif()
    exif[0x0112] = 6  # lying on its side
    buffer = io.BytesIO()
    image.save(buffer, kind, exif=exif)
    return buffer.getvalue()


def sender(port: int, path: str) -> Send:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def send(body: bytes, content_type: str) -> tuple[int, str]:
        try:
            connection.request("POST", path, body, {"Content-Type": content_type})
            response = connection.getresponse()
            return response.status, response.read().decode()
        except BaseException:
            connection.close()  # the request is sent once more, to see whether it fails again
            raise

    return send


@pytest.mark.parametrize("server", [scoring_server, slim_server])
def test_a_scoring_server_stands_generated_requests(server: Callable[..., Any], saved: Path) -> None:
    bodies = [request["body"]["inputs"][:2] for request in read_golden(saved).requests]
    valid = [(json.dumps({"inputs": items}).encode(), JSON) for items in bodies]
    types = ("text/csv", "text/plain", "application/json; charset=latin-1", "application/vnd.apache.parquet")
    fields = ("inputs", "instances", "dataframe_split", "dataframe_records", "params")
    with server(saved) as port:
        children = psutil.Process().children(recursive=True)
        (process,) = [child for child in children if child.name() == "uvicorn"]
        attack(sender(port, "/invocations"), valid, fields, types, process)


def test_the_gateway_stands_generated_requests(gateway: Gateway) -> None:
    valid = [(json.dumps({"image": image}).encode(), JSON) for image in ([0, 16] * 32, [[0, 16] * 4] * 8)]
    valid += [form(drawing("PNG")), form(drawing("JPEG"))]
    plain = sender(gateway.port, "/predict")

    def send(body: bytes, content_type: str) -> tuple[int, str]:
        status, text = plain(body, content_type)
        assert "Traceback" not in text
        assert SECRET not in text
        assert status == 200 or list(json.loads(text)) == ["error"]
        return status, text

    types = ("text/csv", "multipart/form-data; boundary=y", "application/x-www-form-urlencoded", "a/b; c=d")
    attack(send, valid, ("image", "inputs"), types, psutil.Process(gateway.process.pid))


def test_the_gateway_is_what_its_openapi_document_says(gateway: Gateway) -> None:
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(ROOT / "schemathesis.toml")]
    command += ["run", f"{gateway.url}/openapi.json", "--max-examples", "300", "--seed", "1", "--no-color"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stdout
    assert "No issues found" in result.stdout
