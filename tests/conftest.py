"""No test reaches the user's tracking store and cache, or the network beyond this machine."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.utils.file_utils import local_file_uri_to_path

from lifecycle import promotion, training
from lifecycle.scoring import evaluate
from lifecycle.training import train
from registry import ledger
from registry.candidates import Candidate, models_of
from serving.rehearsal import Rehearsal
from serving.server import free_port, running
from tasks.contract import Task, UserError, get_task
from tests.budget import Budget
from tests.gateways import Gateway, gateway_of

ROOT = Path(__file__).resolve().parent.parent
ROOMS = (
    "steps",
    "lifecycle",
    "registry",
    "serving",
    "served",
    "monitoring",
    "studies",
    "pages",
    "forms",
    "contract",
    "tasks",
)
PASSED = Rehearsal(1.0, 0.0, 3, 25, 1.0, 2.0)
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SET_BY_USERS = (
    "MLFLOW_RUN_ID",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_MODELS_WORKERS",
    "METRICS_HOST",
    "METRICS_PORT",
    "MOST_BODY_BYTES",
    "TRAFFIC_DIR",
    "TRAFFIC_BYTES",
    "TRAFFIC_INPUTS",
)
Step = Callable[..., "subprocess.CompletedProcess[str]"]


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Budget())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order of the files: one that needs the trained models first, then those that need none. So one process makes
    the models, and no other has to wait for that. Of each kind those with many tests come first, for all processes to
    end at one time."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)

    def needs_models(tests: list[pytest.Item]) -> bool:
        return any("trained_database" in getattr(test, "fixturenames", ()) for test in tests)

    ordered = sorted(files.values(), key=lambda tests: (needs_models(tests), -len(tests)))
    first = [tests for tests in ordered if needs_models(tests)][-1:]
    items[:] = [test for tests in [*first, *(one for one in ordered if one not in first)] for test in tests]


@functools.cache
def missing(name: str) -> str | None:
    """Why the task's data cannot be had on this machine without a network, None where it can."""
    try:
        get_task(name).load("validation")
    except UserError as error:
        return str(error)
    return None


def available(name: str) -> Task:
    """The task; a test that needs data which is not there is skipped, but not where changes are let in."""
    if reason := missing(name):
        assert "CI" not in os.environ, reason
        pytest.skip(reason)
    return get_task(name)


@pytest.fixture(scope="session", autouse=True)
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a user may have set must not reach the tests, and the tests must not reach the user's cache."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # `make test &` in a script; every step would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.MonkeyPatch.context() as patch:
        for name in SET_BY_USERS:
            patch.delenv(name, raising=False)
        temporary = str(tmp_path_factory.mktemp("temporary"))
        patch.setenv("TMPDIR", temporary)
        patch.setattr(tempfile, "tempdir", temporary)
        patch.setenv("DL_LIFECYCLE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        patch.setenv("PIP_NO_INDEX", "1")  # what the guard below cannot see: pip and npm are processes of their own
        patch.setenv("npm_config_offline", "true")
        patch.chdir(tmp_path_factory.mktemp("cwd"))
        yield


@pytest.fixture(scope="module", autouse=True)
def _collected() -> None:
    """Python does not walk again what is there for good, a million imported objects: Keras has it do so after every
    export, and that is a quarter of the time of a short training."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections leave this machine in tests marked `network` or `docker` only."""
    if request.node.get_closest_marker("network") or request.node.get_closest_marker("docker"):
        return
    connect, resolve = socket.socket.connect, socket.getaddrinfo
    local = ("127.0.0.1", "localhost", "::1")

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in local:
            raise OSError(f"a test must not connect to {address[0]}")
        connect(self, address)

    def guarded_resolve(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in (*local, None, ""):
            raise OSError(f"a test must not look up {host}")
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_resolve)


MakeOnce = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MakeOnce:
    """Has a folder filled by the first test process that needs it; the others wait for that and use it, too.

    Not to be changed by a test: https://pytest-xdist.readthedocs.io/en/stable/how-to.html, "making session-scoped
    fixtures execute only once".
    """
    everybodys = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        everybodys = everybodys.parent

    def made(name: str, fill: Callable[[Path], None]) -> Path:
        folder = everybodys / name
        with FileLock(f"{folder}.lock"):
            if not (folder / "complete").exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a process that failed meanwhile
                folder.mkdir()
                fill(folder)
                (folder / "complete").touch()
        return folder

    return made


@pytest.fixture(scope="session")
def empty_database(made_once: MakeOnce) -> Path:
    """A store without runs, to be copied: creating the tables takes seconds."""

    def fill(folder: Path) -> None:
        MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()

    return made_once("empty", fill) / "mlflow.db"


@pytest.fixture
def tracking_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowClient]:
    """A client of a server as a team has one: artifacts go through it."""
    port = free_port()
    server = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db"]
    server += ["--artifacts-destination", str(tmp_path / "artifacts"), "--port", str(port), "--workers", "1"]
    with running(server, port, "/health"):
        uri = f"http://127.0.0.1:{port}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        mlflow.set_tracking_uri(uri)
        yield MlflowClient()


@pytest.fixture(scope="session")
def trained_database(empty_database: Path, made_once: MakeOnce) -> Path:
    """A store with three evaluated models of digits: good, better on validation, and linear (in this order of time).

    Tests copy the database; the artifacts stay where they are and are shared.
    """

    def fill(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            use_store(patch, Path(shutil.copy(empty_database, folder)))
            patch.chdir(folder)
            task = get_task("digits")
            evaluate(task, train(task, task.configure(epochs=6, learning_rate=5e-3)).model_uri)
            patch.setattr(training, "log_figures", lambda *_: None)  # one has them; they are half of the time
            task = dataclasses.replace(task, figures=lambda *_: iter(()))
            for config in (task.configure(epochs=25, learning_rate=5e-3), task.configure("linear", epochs=3)):
                evaluate(task, train(task, config).model_uri)

    return made_once("trained", fill) / "mlflow.db"


@pytest.fixture
def store(empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """An empty tracking store, which MLflow is set to."""
    return use_store(monkeypatch, Path(shutil.copy(empty_database, tmp_path / "mlflow.db")))


@pytest.fixture
def trained_store(trained_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A copy of the store with trained models, which MLflow is set to."""
    return use_store(monkeypatch, Path(shutil.copy(trained_database, tmp_path / "mlflow.db")))


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train runs of this process draw nothing, which takes nearly half of a short one's time."""
    monkeypatch.setattr(training, "log_figures", lambda *_: None)


@pytest.fixture
def step(tmp_path: Path) -> Step:
    """Runs a step as a user does: `step("train", "--task", "digits")`, from another folder than the project's."""

    def run(name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", f"steps.{name}", *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


def use_store(patch: pytest.MonkeyPatch, database: Path) -> MlflowClient:
    uri = f"sqlite:///{database}"
    patch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    return MlflowClient()


def own_files(client: MlflowClient, candidate: Candidate, folder: Path, of_evaluation: bool = False) -> Path:
    """A copy of a model's files, or of its evaluation's, to be changed by the test: the stores here share theirs.

    The store that MLflow is set to has them below `folder` from now on.
    """
    if of_evaluation:
        before = client.get_run(str(candidate.evaluation_run)).info.artifact_uri
    else:
        before = client.get_logged_model(candidate.model_id).artifact_location
    source = local_file_uri_to_path(before)  # type: ignore[no-untyped-call]
    copy = Path(shutil.copytree(source, folder / "own"))
    with contextlib.closing(sqlite3.connect(mlflow.get_tracking_uri().removeprefix("sqlite:///"))) as database:
        for table, column in (
            ("runs", "artifact_uri"),
            ("logged_models", "artifact_location"),
            ("model_versions", "storage_location"),
        ):
            database.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (copy.as_uri(), before))
        database.commit()
    return copy


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium, as playwright's Browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason="requirements-dev.txt is not installed")
    with playwright.sync_playwright() as started:
        installed = shutil.which("chromium") or shutil.which("google-chrome")
        with started.chromium.launch(executable_path=installed, args=QUIET) as launched:
            yield launched


@pytest.fixture(scope="session")
def champion_database(trained_database: Path, made_once: MakeOnce) -> Path:
    """A copy of the store with trained models, the oldest of them promoted as version 1 without a rehearsal."""

    def fill(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(promotion, "rehearse", lambda *_: PASSED)
            patch.chdir(folder)
            client, task = use_store(patch, Path(shutil.copy(trained_database, folder))), get_task("digits")
            promotion.promote(task, models_of(client, task)[-1].uri)

    return made_once("champion", fill) / "mlflow.db"


@pytest.fixture
def champion_store(champion_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A copy of it, which MLflow is set to. Rehearsals are taken as passed."""
    monkeypatch.setattr(promotion, "rehearse", lambda *_: PASSED)
    return use_store(monkeypatch, Path(shutil.copy(champion_database, tmp_path / "mlflow.db")))


@pytest.fixture(scope="module")
def gateway(champion_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with a champion, ready to answer: one for all tests of a module, so they change nothing of it."""
    yield from gateway_of(champion_database, tmp_path_factory.mktemp("gateway"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Promotions rehearse nothing: what they do otherwise is what is tested."""
    monkeypatch.setattr(promotion, "rehearse", lambda *_: PASSED)
    monkeypatch.setattr(ledger, "GRACE_SECONDS", 0.3)  # nobody else moves the alias here
