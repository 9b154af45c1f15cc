"""Running containers of registered models, for tests; needs Docker."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import requests

from registry.ledger import ALIAS
from serving.rehearsal import read_golden


def docker(*arguments: str) -> str:
    result = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def workers(image: str, *options: str) -> int:
    """How many workers the image has under these limits."""
    code = "import sys; sys.path.insert(0, '/opt'); import entrypoint; print(entrypoint.workers())"
    return int(docker("run", "--rm", *options, "--entrypoint", "python", image, "-c", code))


class Container:
    """A running container, ready to answer; removed at the end of the `with` block."""

    def __init__(self, image: str, *options: str) -> None:
        self.id = docker("run", "--detach", *options, "-p", "127.0.0.1::8080", "-p", "127.0.0.1::9464", image)
        try:
            self.url, self.metrics = (f"http://{docker('port', self.id, port)}" for port in ("8080", "9464"))
            self.wait()
        except BaseException:
            docker("rm", "--force", self.id)
            raise

    def wait(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if requests.get(f"{self.url}/ping", timeout=1).ok:
                    return
            except requests.RequestException:
                time.sleep(0.05)
        raise AssertionError(docker("logs", self.id))

    def invoke(self, inputs: list[Any]) -> requests.Response:
        return requests.post(f"{self.url}/invocations", json={"inputs": inputs}, timeout=60)

    def count(self, sample: str) -> float:
        """A value from the metrics."""
        lines = requests.get(f"{self.metrics}/metrics", timeout=5).text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(sample))

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *_: object) -> None:
        docker("rm", "--force", self.id)


def check_golden(container: Container, name: str) -> None:
    """It answers the champion's golden requests as it should."""
    golden = read_golden(Path(mlflow.artifacts.download_artifacts(f"models:/{name}@{ALIAS}")))
    for request in golden.requests:
        reply = container.invoke(request["body"]["inputs"])
        assert reply.status_code == 200, reply.text
        served, expected = golden.numbers(reply.json()["predictions"]), golden.numbers(request["predictions"])
        np.testing.assert_allclose(served, expected, atol=golden.tolerance)
