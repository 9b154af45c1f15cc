"""Containers of a promoted model of digits, built and run for real; needs Docker."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from mlflow import MlflowClient

from lifecycle.building import build
from lifecycle.promotion import promote
from lifecycle.releases import release
from serving.gateway.loading import Loader
from tasks.contract import get_task
from tests.conftest import use_store
from tests.containers import Container, check_golden, docker, workers

pytestmark = pytest.mark.docker
TASK = get_task("digits")


@pytest.fixture(scope="module")
def promoted(trained_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowClient]:
    """A store with a champion, version 1."""
    copy = tmp_path_factory.mktemp("promoted") / "mlflow.db"
    copy.write_bytes(trained_database.read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        client = use_store(patch, copy)
        promote(TASK, "best")
        yield client


@pytest.fixture(scope="module")
def slim(promoted: MlflowClient) -> Iterator[str]:
    yield from image("slim")


@pytest.fixture(scope="module")
def stock(promoted: MlflowClient) -> Iterator[str]:
    yield from image("mlflow")


def image(variant: str) -> Iterator[str]:
    name = f"dlc-test-{uuid.uuid4().hex[:8]}"
    yield build(TASK, "champion", variant, name)
    docker("rmi", "--force", f"{name}:1", f"{name}:latest")


def check_refusal(container: Container) -> None:
    refused = container.invoke([[1, 2]])
    assert refused.status_code == 400
    assert "expected an item of shape (8, 8), received (2,)" in refused.text


def test_the_stock_container_answers_and_counts(stock: str) -> None:
    with Container(stock, "--env", "MLFLOW_MODELS_WORKERS=2") as container:
        check_golden(container, "digits")
        check_refusal(container)
        time.sleep(1.5)  # after which every worker has told what it has seen
        assert container.count("model_requests_total") == 4
        assert container.count('model_errors_total{kind="shape"}') == 1
        assert container.count('model_info{name="digits",version="1"}') == 1


def test_the_slim_container_answers_and_counts(slim: str) -> None:
    with Container(slim, "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL") as container:
        check_golden(container, "digits")
        check_refusal(container)
        time.sleep(1.5)  # after which every worker has told what it has seen
        assert container.count("model_requests_total") == 4
        assert container.count('model_errors_total{kind="shape"}') == 1
        assert container.count('model_info{name="digits",version="1"}') == 1
        assert docker("exec", container.id, "id", "-u") != "0"
        deadline = time.monotonic() + 30
        while (health := docker("inspect", "-f", "{{.State.Health.Status}}", container.id)) == "starting":
            assert time.monotonic() < deadline
            time.sleep(0.5)
        assert health == "healthy"


def test_the_slim_container_has_nothing_it_does_not_need(slim: str) -> None:
    assert int(docker("image", "inspect", "-f", "{{.Size}}", slim)) <= 450e6
    for module in ("tensorflow", "keras", "sklearn"):
        with pytest.raises(AssertionError, match="ModuleNotFoundError"):
            docker("run", "--rm", "--entrypoint", "python", slim, "-c", f"import {module}")
    with pytest.raises(AssertionError, match="executable file not found"):
        docker("run", "--rm", "--entrypoint", "gcc", slim)
    assert docker("image", "inspect", "-f", '{{index .Config.Labels "model.version"}}', slim) == "1"


def test_a_read_only_container_without_any_place_to_write_answers_too(slim: str) -> None:
    with Container(slim, "--read-only") as container:
        check_golden(container, "digits")


def test_workers_follow_the_limits_of_the_container(slim: str) -> None:
    assert workers(slim, "--cpus", "1") == 1
    assert workers(slim, "--cpus", "2") == 2
    assert workers(slim, "--cpus", "2", "--memory", "600m") == 2
    assert workers(slim, "--cpus", "2", "--memory", "300m") == 1


def test_half_a_gigabyte_and_one_core_are_enough(slim: str) -> None:
    with Container(slim, "--memory", "512m", "--cpus", "1") as container:
        check_golden(container, "digits")
        processes = docker("top", container.id, "-o", "pid,args").splitlines()[1:]
        assert len(processes) == 1  # one worker has no supervisor
        batch = np.zeros((1000, 8, 8), int).tolist()
        assert container.invoke(batch).status_code == 200
        assert container.invoke(batch).status_code == 200


def test_stopping_loses_no_accepted_request(slim: str, promoted: MlflowClient) -> None:
    """Each client has a request in the works when the container is told to stop."""
    inputs = np.zeros((20_000, 8, 8), int).tolist()
    body = json.dumps({"inputs": inputs}).encode()
    expected = release(promoted, TASK, "1", Loader()).predict(inputs[:1])
    answers: list[requests.Response] = []

    def ask() -> None:
        headers = {"Content-Type": "application/json"}
        answers.append(requests.post(f"{container.url}/invocations", body, headers=headers, timeout=60))

    with Container(slim, "--env", "MLFLOW_MODELS_WORKERS=1") as container:
        clients = [threading.Thread(target=ask) for _ in range(4)]
        for client in clients:
            client.start()
        time.sleep(0.5)  # all are sent, none is answered
        assert not answers
        docker("stop", "--time", "30", container.id)
        for client in clients:
            client.join()
        assert docker("inspect", "-f", "{{.State.ExitCode}}", container.id) == "0"
    assert [answer.status_code for answer in answers] == [200] * 4
    for answer in answers:
        predictions = answer.json()["predictions"]
        assert len(predictions) == len(inputs)
        np.testing.assert_allclose(predictions[-1:], expected, atol=1e-5)
