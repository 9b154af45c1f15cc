"""The rehearsal: a candidate answers its golden requests through the very server that will serve it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import requests

START_TIMEOUT_SECONDS = 60
STOP_TIMEOUT_SECONDS = 10
REQUEST_TIMEOUT_SECONDS = 10


class RehearsalError(Exception):
    """The candidate failed; the message says how."""


@dataclass(frozen=True)
class Golden:
    """Requests with their right answers, as packed with the model.

    Attributes:
        tolerance: Largest absolute difference that counts as the same answer.
        requests: Each with a `body` to post and the `predictions` to come back.
    """

    tolerance: float
    requests: list[dict[str, Any]]


@dataclass(frozen=True)
class Rehearsal:
    """What a successful rehearsal measured.

    Attributes:
        ready_seconds: From the start of the process to the first successful ping.
        parity: Largest absolute difference to the golden answers.
        requests: Golden requests answered.
    """

    ready_seconds: float
    parity: float
    requests: int


def rehearse(model_path: Path) -> Rehearsal:
    """Serves the model in `model_path` as `mlflow models serve` does and sends it its golden requests.

    Raises:
        RehearsalError: It did not start, or a golden request was not answered as it should be.
    """
    golden = read_golden(model_path)
    started = time.monotonic()
    with scoring_server(model_path) as url:
        ready = time.monotonic() - started
        parity = replay(url, golden)
    return Rehearsal(ready_seconds=ready, parity=parity, requests=len(golden.requests))


def replay(url: str, golden: Golden) -> float:
    """Sends the golden requests to a server and gives the largest absolute difference to their answers.

    Raises:
        RehearsalError: A request was not answered as it should be.
    """
    worst = max(_difference(url, request) for request in golden.requests)
    if worst > golden.tolerance:
        raise RehearsalError(
            f"its answers differ from the golden ones by {worst:.2g}, at most {golden.tolerance:.2g} is allowed"
        )
    return worst


@contextlib.contextmanager
def scoring_server(model_path: Path) -> Iterator[str]:
    """MLflow's scoring server on a free loopback port, ready to answer; gives its base URL.

    Raises:
        RehearsalError: It ended, or did not answer a ping within START_TIMEOUT_SECONDS.
    """
    port = _free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(model_path)]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    with tempfile.TemporaryFile() as log:
        # A session of its own: the command starts uvicorn through a shell, and all of them have to end together.
        server = subprocess.Popen(
            command, env=_environment(), stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        guard = _guard(server)
        url = f"http://127.0.0.1:{port}"
        try:
            try:
                _wait_until_ready(server, url)
            except RehearsalError as error:
                log.seek(0)
                lines = log.read().decode(errors="replace").strip().splitlines()
                raise RehearsalError(f"{error}; its last words: {lines[-1] if lines else 'none'}") from None
            yield url
        finally:
            _end(server, guard)


def _environment() -> dict[str, str]:
    """Ours, with this interpreter's scripts first: MLflow looks for uvicorn on the PATH."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def _wait_until_ready(server: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RehearsalError(f"the scoring server ended with exit code {server.returncode}")
        with contextlib.suppress(requests.ConnectionError, requests.Timeout):
            if _session().get(f"{url}/ping", timeout=1).ok and server.poll() is None:
                return
        time.sleep(0.05)
    raise RehearsalError(f"the scoring server was not ready after {START_TIMEOUT_SECONDS} s")


def _guard(server: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    """A process that ends the server's whole session once its standard input is closed: by us, or by the operating
    system when we were killed."""
    command = ["sh", "-c", f"cat; kill -TERM -{server.pid}"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)


def _end(server: subprocess.Popen[bytes], guard: subprocess.Popen[bytes]) -> None:
    """Ends the server and everything it started, by force where asking does not help."""
    guard.communicate()
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            server.poll()  # takes note of its end, or it would count as one of its session for ever
            os.killpg(server.pid, 0)
            time.sleep(0.05)
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def read_golden(model_path: Path) -> Golden:
    """The golden requests that were packed with a model.

    Raises:
        RehearsalError: There are none, or they are incomplete.
    """
    try:
        golden = Golden(**json.loads((model_path / "artifacts" / "golden.json").read_text()))
        complete = golden.requests and all({"body", "predictions"} <= request.keys() for request in golden.requests)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RehearsalError(f"it has no readable golden requests: {error}") from None
    if not complete:
        raise RehearsalError("it has no readable golden requests: some lack a body or the predictions")
    return golden


def _difference(url: str, request: dict[str, Any]) -> float:
    """Largest absolute difference between the served and the golden predictions."""
    try:
        reply = _session().post(f"{url}/invocations", json=request["body"], timeout=REQUEST_TIMEOUT_SECONDS)
    except requests.RequestException as error:
        raise RehearsalError(f"a golden request got no answer: {type(error).__name__}") from None
    if reply.status_code != 200:
        raise RehearsalError(f"a golden request got HTTP {reply.status_code}: {reply.text[:200]}")
    try:
        served = np.asarray(reply.json()["predictions"], float)
    except (KeyError, TypeError, ValueError):
        raise RehearsalError(f"a golden request got no predictions: {reply.text[:200]}") from None
    expected = np.asarray(request["predictions"], float)
    if served.shape != expected.shape:
        raise RehearsalError(f"a golden request got predictions of shape {served.shape}, expected {expected.shape}")
    if not np.isfinite(served).all():
        raise RehearsalError("a golden request got predictions that are not finite")
    return float(np.abs(served - expected).max())


def _session() -> requests.Session:
    """Talks to this machine, whatever proxy the environment names."""
    session = requests.Session()
    session.trust_env = False
    return session


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
