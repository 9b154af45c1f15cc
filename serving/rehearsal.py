"""The rehearsal: a candidate proves itself in the very server that will serve it, before anybody depends on it."""

from __future__ import annotations

import base64
import io
import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from serving.hostile import HostileRequest, hostile_requests
from serving.server import Client, ServerError, scoring_server

LATENCY_REQUESTS = 100


class RehearsalError(Exception):
    """The candidate failed; the message says how."""


@dataclass(frozen=True)
class Golden:
    """Requests with their right answers, as packed with the model.

    Attributes:
        tolerance: Largest absolute difference that counts as the same answer.
        requests: Each with a `body` to post and the `predictions` to come back. The first has items as numbers.
    """

    tolerance: float
    requests: list[dict[str, Any]]


@dataclass(frozen=True)
class Rehearsal:
    """What a successful rehearsal measured; it stands on the version.

    Attributes:
        ready_seconds: From the start of the process to the first successful ping.
        parity: Largest absolute difference to the golden answers.
        golden: Golden requests answered.
        hostile: Hostile requests refused.
        p50_ms: Median time of a request with one item, over one connection.
        p95_ms: 95th percentile of the same.
    """

    ready_seconds: float
    parity: float
    golden: int
    hostile: int
    p50_ms: float
    p95_ms: float


def rehearse(model_path: Path, latency_bound_ms: float) -> Rehearsal:
    """Serves the model in `model_path` as `mlflow models serve` does, where nothing but its requirements is installed.

    It has to answer its golden requests, to refuse hostile ones, and to be as good afterwards as it was before.

    Args:
        model_path: The model's folder.
        latency_bound_ms: What the 95th percentile of a request with one item may take.

    Raises:
        RehearsalError: It did not, or it is too slow.
    """
    golden = read_golden(model_path)
    started = time.monotonic()
    try:
        with scoring_server(model_path) as port:
            ready = time.monotonic() - started
            parity = replay(port, golden)
            p50, p95 = latency(port, golden)
            if p95 > latency_bound_ms:
                raise RehearsalError(
                    f"it takes {p95:.1f} ms for one item (95th percentile), at most {latency_bound_ms:g} ms are allowed"
                )
            hostile = list(hostile_requests(golden.requests[0]["body"]["inputs"][0]))
            for request in hostile:
                refuse(port, request)
            replay(port, golden)
    except ServerError as error:
        raise RehearsalError(str(error)) from error
    return Rehearsal(round(ready, 2), parity, len(golden.requests), len(hostile), round(p50, 3), round(p95, 3))


def replay(port: int, golden: Golden) -> float:
    """Sends the golden requests to a server and gives the largest absolute difference to their answers.

    Raises:
        RehearsalError: A request was not answered as it should be.
        ServerError: A request was not answered at all.
    """
    client = Client(port)
    worst = max(_difference(client, request) for request in golden.requests)
    if worst > golden.tolerance:
        raise RehearsalError(
            f"its answers differ from the golden ones by {worst:.2g}, at most {golden.tolerance:.2g} is allowed"
        )
    return worst


def latency(port: int, golden: Golden) -> tuple[float, float]:
    """Median and 95th percentile of a request with one item, in milliseconds.

    Raises:
        RehearsalError: A request was not answered with 200.
    """
    client = Client(port)
    bodies = [json.dumps({"inputs": [item]}).encode() for item in golden.requests[-1]["body"]["inputs"]]
    times = []
    for index in range(LATENCY_REQUESTS):
        started = time.perf_counter()
        status = client.invoke(bodies[index % len(bodies)]).status
        if status != 200:
            raise RehearsalError(f"a golden request with one item got HTTP {status}")
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times), statistics.quantiles(times, n=20)[-1]


def refuse(port: int, request: HostileRequest) -> None:
    """Sends a hostile request, over a connection of its own.

    Raises:
        RehearsalError: It was not refused.
    """
    try:
        status = Client(port).invoke(request.body, request.content_type).status
    except ServerError as error:
        raise RehearsalError(f"a hostile request ({request.name}) got {error}") from error
    if status not in request.statuses:
        raise RehearsalError(f"a hostile request ({request.name}) got HTTP {status}, expected 4xx")


def read_golden(model_path: Path) -> Golden:
    """The golden requests that were packed with a model.

    Raises:
        RehearsalError: There are none, or they are incomplete.
    """
    try:
        golden = Golden(**json.loads((model_path / "artifacts" / "golden.json").read_text()))
        complete = golden.requests and all(r["body"]["inputs"] and "predictions" in r for r in golden.requests)
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise RehearsalError(f"it has no readable golden requests: {error}") from None
    if not complete:
        raise RehearsalError("it has no readable golden requests: some lack a body or the predictions")
    return golden


def _difference(client: Client, request: dict[str, Any]) -> float:
    """Largest absolute difference between the served and the golden predictions."""
    reply = client.invoke(json.dumps(request["body"]).encode())
    text = reply.body[:200].decode(errors="replace")
    if reply.status != 200:
        raise RehearsalError(f"a golden request got HTTP {reply.status}: {text}")
    try:
        served = numbers(json.loads(reply.body)["predictions"])
    except (KeyError, TypeError, ValueError, OSError):
        raise RehearsalError(f"a golden request got no predictions: {text}") from None
    expected = numbers(request["predictions"])
    if served.shape != expected.shape:
        raise RehearsalError(f"a golden request got predictions of shape {served.shape}, expected {expected.shape}")
    if not np.isfinite(served).all():
        raise RehearsalError("a golden request got predictions that are not finite")
    return float(np.abs(served - expected).max())


def numbers(predictions: list[Any]) -> np.ndarray:
    """Predictions as numbers; a picture may come as a file, in base64."""
    return np.asarray([_picture(one) if isinstance(one, str) else one for one in predictions], float)


def _picture(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))
