"""The container's entry point: it checks its model, decides how many workers it has, by its control group's files as
Linux has them, and asks for its health where it listens."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from served import machine
from serving.container import entrypoint, slim_context

MIB = 2**20


@pytest.fixture(autouse=True)
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the control group, on a machine of 8 CPUs, for a model that took 160 MiB."""
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    monkeypatch.setattr(entrypoint, "PEAK", tmp_path / "peak_bytes")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    (tmp_path / "peak_bytes").write_text(str(160 * MIB))
    return tmp_path


def test_without_limits_there_is_one_for_every_cpu(group: Path) -> None:
    assert entrypoint.workers() == 8
    (group / "cpu.max").write_text("max 100000\n")
    (group / "memory.max").write_text("max\n")
    assert entrypoint.workers() == 8


@pytest.mark.parametrize(("quota", "mebibytes", "workers"), [(150_000, 8_000, 2), (800_000, 600, 2), (800_000, 100, 1)])
def test_cpus_and_memory_limit_them(group: Path, quota: int, mebibytes: int, workers: int) -> None:
    """256 MiB for each: what one took, and 96 MiB to spare."""
    (group / "cpu.max").write_text(f"{quota} 100000\n")
    (group / "memory.max").write_text(f"{mebibytes * MIB}\n")
    assert entrypoint.workers() == workers


def test_limits_of_the_first_version_of_control_groups_hold_too(group: Path) -> None:
    (group / "cpu").mkdir()
    (group / "cpu" / "cpu.cfs_quota_us").write_text("300000\n")
    (group / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert entrypoint.workers() == 3
    (group / "memory").mkdir()
    (group / "memory" / "memory.limit_in_bytes").write_text(f"{512 * MIB}\n")
    assert entrypoint.workers() == 2


def test_a_number_that_is_set_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_MODELS_WORKERS", "3")
    assert entrypoint.workers() == 3
    monkeypatch.setenv("MLFLOW_MODELS_WORKERS", "many")
    with pytest.raises(SystemExit, match="MLFLOW_MODELS_WORKERS must be a whole number of at least 1, received 'many'"):
        entrypoint.workers()


@pytest.fixture
def image(model: Path, tmp_path: Path) -> Path:
    """What stands below /opt in the image of a model, by the lines of the Dockerfile."""
    context, root = tmp_path / "context", tmp_path / "image"
    shutil.copytree(model, context / "model_dir")
    slim_context(context, "# A card")
    for sources, target in re.findall(r"^COPY (.+) /opt/(\S*)$", (context / "Dockerfile").read_text(), re.MULTILINE):
        if sources == "model_dir":
            shutil.copytree(context / sources, root / target)
            continue
        (root / target).mkdir(parents=True, exist_ok=True)
        for source in sources.split():
            shutil.copy(context / source, root / target)
    return root


def started(image: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """The entry point as the image runs it, with a uvicorn that only says that it was started."""
    (folder / "uvicorn").write_text("#!/bin/sh\necho started")
    (folder / "uvicorn").chmod(0o755)
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "__pyfunc_model_path__": str(image / "ml" / "model")}
    return subprocess.run(
        [sys.executable, str(image / "entrypoint.py")],
        env=environment | {"MLFLOW_MODELS_WORKERS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_container_serves_the_model_that_it_was_made_with_and_no_other(image: Path, tmp_path: Path) -> None:
    assert started(image, tmp_path).stdout == "started\n"
    (image / "ml" / "model" / "artifacts" / "model.onnx").write_bytes(b"another graph")
    result = started(image, tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert re.fullmatch(
        r"error: \S+/ml/model is not what the image was made with: artifacts/model\.onnx has changed "
        r"\(SHA-256 [0-9a-f]{12}…, expected [0-9a-f]{12}…\)\. Restore the file, or build anew\.\n",
        result.stderr,
    )


@contextlib.contextmanager
def answering(family: socket.AddressFamily, address: Any, status: int = 200) -> Iterator[Any]:
    """A server that answers one request; gives the address that it has got."""
    with socket.socket(family) as listener:
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # as asyncio does
        try:
            listener.bind(address)
        except OSError as error:
            pytest.skip(f"this machine has no {address}: {error}")
        listener.listen()
        listener.settimeout(1)
        thread = threading.Thread(target=answer, args=(listener, status))
        thread.start()
        yield listener.getsockname()
        thread.join()


def answer(listener: socket.socket, status: int) -> None:
    with contextlib.suppress(TimeoutError):
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(1000).startswith(b"GET /ping HTTP/1.1\r\n")
            connection.sendall(b"HTTP/1.1 %d x\r\nContent-Length: 0\r\n\r\n" % status)


def check(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name in ("UVICORN_HOST", "UVICORN_PORT", "UVICORN_UDS", "UVICORN_SSL_CERTFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["entrypoint.py", "--check"])
    entrypoint.main()


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1", "", "::", "::1"])
def test_the_check_asks_where_the_server_listens(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with answering(family, (host or "127.0.0.1", 0)) as (_, port, *_):
        check(monkeypatch, UVICORN_HOST=host, UVICORN_PORT=str(port))


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this operating system has no such sockets")
def test_the_check_asks_at_a_unix_socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with answering(socket.AF_UNIX, path):
        check(monkeypatch, UVICORN_UDS=path)
    with pytest.raises(SystemExit, match=r"^error: the server does not answer: .*No such file"):
        check(monkeypatch, UVICORN_UDS=f"{path}s")


def test_the_check_fails_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        answering(socket.AF_INET, ("127.0.0.1", 0), 503) as (_, port),
        pytest.raises(SystemExit, match=r"^error: expected status 200 from /ping, received 503\.$"),
    ):
        check(monkeypatch, UVICORN_PORT=str(port))
    with pytest.raises(SystemExit, match=r"^error: the server does not answer: .*refused$"):
        check(monkeypatch, UVICORN_PORT=str(port))


@pytest.mark.parametrize("port", ["http", "0", "65536", "-1", "8080.0"])
def test_a_port_has_to_be_one(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    with pytest.raises(SystemExit, match=f"^error: UVICORN_PORT must be a whole number from 1 to 65535, .*{port}"):
        check(monkeypatch, UVICORN_PORT=port)


@pytest.mark.parametrize("name", ["MOST_BODY_BYTES", "MOST_REQUEST_SECONDS", "MLFLOW_MODELS_WORKERS"])
def test_a_limit_has_to_be_a_number(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(sys, "argv", ["entrypoint.py"])
    monkeypatch.setattr(os, "execvp", lambda *_: pytest.fail("the server was started"))
    monkeypatch.setenv(name, "1e6")
    with pytest.raises(SystemExit, match=f"^error: {name} must be a whole number of at least 1, received '1e6'"):
        entrypoint.main()
