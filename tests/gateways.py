"""A gateway as `-e serve` starts it, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import requests

from serving.server import free_port

ROOT = Path(__file__).resolve().parent.parent


class Gateway:
    """The gateway in a process of its own, as `-e serve` starts it, on the store that MLflow is set to.

    It is ended with the `with` block at the latest.
    """

    def __init__(
        self, folder: Path, task: str = "digits", prefix: Sequence[str] = (), options: Sequence[str] = ()
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = (folder / "gateway.log").open("w+")
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "steps.serve", "--task", task, "--port", str(self.port), *options],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def wait(self, path: str = "/readyz") -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(f"{self.url}{path}", timeout=5).ok:
                    return
            time.sleep(0.05)
        raise AssertionError(self.log())

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read()

    def stop(self) -> int:
        """Ends it as Ctrl-C does, and gives its exit code."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(timeout=30)
        self._log.close()
        return code

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self.process.poll() is not None:
            return
        try:
            code = self.stop()
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        assert kind or code == 0


def gateway_of(database: Path, folder: Path, task: str = "digits") -> Iterator[Gateway]:
    """A gateway on a store of its own, ready to answer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
        started = Gateway(folder, task)
    with started:
        started.wait()
        yield started
