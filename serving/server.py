"""Servers on a port of this machine for as long as somebody here needs them, MLflow's scoring server above all."""

from __future__ import annotations

import contextlib
import http.client
import os
import site
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from serving.fence import fenced
from serving.process_group import process_group

START_TIMEOUT_SECONDS = 60
REQUEST_TIMEOUT_SECONDS = 30
# What a server that runs a model's own code gets of our environment: what Python and the operating system need, how
# many threads to start, and the wish not to be reported on. Everything else stays here, because an environment also
# carries passwords, tokens and the addresses of stores, under names that nobody can list.
INHERITED = {
    *("PATH", "LANG", "LANGUAGE", "TZ", "TMPDIR"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"),
    *("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "TEMP", "TMP"),  # Windows
    *("NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE"),
    *("PYTHONUTF8", "PYTHONIOENCODING", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"),
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
    *("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "ORT_DISABLE_TELEMETRY"),
}
INHERITED_PREFIX = "LC_"
HOMES = ("HOME", "USERPROFILE")  # on Windows the second


class ServerError(Exception):
    """The server did not start or did not answer; the message says how it ended."""


class TimedOutError(ServerError):
    """The server lives and took too long, to get ready or to answer. That may be the fault of a busy machine."""


@dataclass(frozen=True)
class Reply:
    """What came back: the HTTP status and the body."""

    status: int
    body: bytes


class Client:
    """Talks to a server on this machine over one connection, whatever proxy the environment names."""

    def __init__(self, port: int, timeout: float = REQUEST_TIMEOUT_SECONDS) -> None:
        self.port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)

    def get(self, path: str) -> Reply:
        return self._exchange("GET", path, None, {})

    def invoke(self, body: bytes, content_type: str | None = "application/json") -> Reply:
        """Posts to /invocations."""
        return self._exchange("POST", "/invocations", body, {"Content-Type": content_type} if content_type else {})

    def _exchange(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Reply:
        """
        Raises:
            ServerError: There was no answer; a TimedOutError where it did not come in time.
        """
        try:
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
            return Reply(response.status, response.read())
        except TimeoutError as error:
            self._connection.close()
            raise TimedOutError(f"no answer to {method} {path} within {self._connection.timeout:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise ServerError(f"no answer to {method} {path} ({type(error).__name__})") from error


@contextlib.contextmanager
def scoring_server(model_path: Path, workers: int = 1, **environment: str) -> Iterator[int]:
    """MLflow's scoring server as `mlflow models serve` starts it, on a free loopback port; gives the port.

    It sees no package but those that the model requires, as in a container made for it, and of the environment nothing
    but INHERITED: a model brings code of its own.

    Args:
        model_path: The model's folder.
        workers: Processes that answer.
        **environment: Variables to set for it.

    Raises:
        ServerError: It ended; a TimedOutError where it was not ready within START_TIMEOUT_SECONDS.
    """
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(model_path.resolve())]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)]
    with (
        tempfile.TemporaryDirectory() as empty,  # what lies in the working directory can be imported
        running(command, port, folder=empty, inherited=allowed_environment(empty), **fenced(model_path), **environment),
    ):
        yield port


@contextlib.contextmanager
def running(
    command: list[str],
    port: int,
    ready: str = "/ping",
    folder: str | None = None,
    inherited: Mapping[str, str] | None = None,
    **environment: str,
) -> Iterator[None]:
    """A server, ready to answer; it ends with all that it started, also when this process is killed.

    Args:
        command: Starts it.
        port: Where it listens on this machine.
        ready: Path that it answers with 200 once it is ready.
        folder: Its working directory; None for this process's.
        inherited: The environment that it starts from; None for all of this process's.
        **environment: Variables to set for it.

    Raises:
        ServerError: It ended; a TimedOutError where it was not ready within START_TIMEOUT_SECONDS.
    """
    variables = {**(os.environ if inherited is None else inherited), **_paths(), "METRICS_PORT": "0", **environment}
    with (
        tempfile.TemporaryFile() as log,
        # MLflow starts uvicorn through a shell, and all of them have to end together.
        process_group(command, cwd=folder, env=variables, stdout=log, stderr=subprocess.STDOUT) as server,
    ):
        try:
            _wait_until_ready(server, port, ready)
        except ServerError as error:
            log.seek(0)
            raise type(error)(f"{error}: {_cause(log.read().decode(errors='replace'))}") from None
        yield


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def allowed_environment(home: str) -> dict[str, str]:
    """What a server that runs a model's own code gets of this process's environment, with another home folder, because
    credentials lie in the real one.

    That keeps secrets from code that takes what lies around. It is no sandbox: the process runs as this user.
    """
    variables = {
        name: value for name, value in os.environ.items() if name in INHERITED or name.startswith(INHERITED_PREFIX)
    }
    # Packages that were installed with `pip install --user` lie below the real home.
    return variables | dict.fromkeys(HOMES, home) | {"PYTHONUSERBASE": site.getuserbase()}


def _paths() -> dict[str, str]:
    """This interpreter's scripts first: MLflow looks for uvicorn on the PATH."""
    return {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def _wait_until_ready(server: subprocess.Popen[bytes], port: int, path: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise ServerError(f"the server ended with exit code {server.returncode}")
        with contextlib.suppress(ServerError):
            if Client(port, timeout=1).get(path).status == 200 and server.poll() is None:
                return
        time.sleep(0.05)
    raise TimedOutError(f"the server was not ready after {START_TIMEOUT_SECONDS} s")


def _cause(log: str) -> str:
    """The line of a server's output that tells best why it ended: what its first traceback ends with; whatever follows
    only passes that on."""
    lines = log.strip().splitlines() or ["it said nothing"]
    for index, line in enumerate(lines):
        if line.startswith("Traceback"):
            return next((line for line in lines[index + 1 :] if line[:1].strip()), lines[-1])
    return lines[-1]
