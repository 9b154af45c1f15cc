"""The container that `mlflow models build-docker` makes of a registered champion, built and run for real."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest
import requests
from mlflow import MlflowClient

from registry.ledger import ALIAS
from steps.promote import promote
from tasks.contract import get_task

pytestmark = pytest.mark.docker


def docker(*arguments: str) -> str:
    result = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.fixture
def image(trained_store: MlflowClient) -> Iterator[str]:
    docker("info")
    promote(get_task("digits"), "best")
    name = f"dlc-test-{uuid.uuid4().hex[:8]}"
    command = [sys.executable, "-m", "mlflow", "models", "build-docker", "--env-manager", "local"]
    result = subprocess.run(
        [*command, "-m", f"models:/digits@{ALIAS}", "-n", name],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    yield name
    docker("rmi", "--force", name)


@pytest.fixture
def url(image: str) -> Iterator[str]:
    container = docker("run", "--detach", "--publish", "127.0.0.1::8080", "--env", "MLFLOW_MODELS_WORKERS=1", image)
    try:
        address = f"http://{docker('port', container, '8080').splitlines()[0]}"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if requests.get(f"{address}/ping", timeout=1).ok:
                    break
            except requests.RequestException:
                time.sleep(0.1)
        else:
            raise AssertionError(docker("logs", container))
        yield address
    finally:
        docker("rm", "--force", container)


def test_the_container_answers_the_golden_requests(url: str) -> None:
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/digits@{ALIAS}"))
    golden = json.loads((folder / "artifacts" / "golden.json").read_text())
    for request in golden["requests"]:
        reply = requests.post(f"{url}/invocations", json=request["body"], timeout=10)
        assert reply.status_code == 200, reply.text
        np.testing.assert_allclose(reply.json()["predictions"], request["predictions"], atol=golden["tolerance"])
    refused = requests.post(f"{url}/invocations", json={"inputs": [[1, 2]]}, timeout=10)
    assert refused.status_code == 400
    assert "expected an item of shape (8, 8), received (2,)" in refused.text
