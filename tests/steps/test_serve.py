"""The gateway as `-e serve` starts it, over real sockets."""

from __future__ import annotations

import contextlib
import io
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import numpy as np
import psutil
import pytest
import requests
import yaml
from mlflow import MlflowClient
from PIL import Image

from forms.answers.labels import Labels
from forms.answers.picture import Picture
from forms.item import Item
from forms.items.ink import Ink
from forms.items.photograph import Photograph
from forms.items.values import Values
from lifecycle.promotion import promote
from lifecycle.releases import forms_of, release
from lifecycle.rollback import rollback
from registry.candidates import models_of
from registry.ledger import ALIAS
from serving.gateway import server
from steps import cli, serve
from tasks.contract import UserError, get_task
from tests.gateways import Gateway

TASK = get_task("digits")
REQUESTS_PER_SECOND = 50


def body() -> dict[str, list[int]]:
    return {"image": TASK.load("validation").inputs[0].ravel().tolist()}


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Load:
    """Asks at a steady rate until it is stopped; some requests on one connection, some on new ones."""

    def __init__(self, url: str) -> None:
        self.failures: list[str] = []
        self.versions: list[tuple[float, str]] = []
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        kept, sent, image = requests.Session(), 0, body()
        started = time.monotonic()
        while not self._stop.is_set():
            session = kept if sent % 2 else requests.Session()
            try:
                reply = session.post(f"{self._url}/predict", json=image, timeout=5)
            except requests.RequestException as error:
                self.failures.append(str(error))
            else:
                if reply.status_code != 200:
                    self.failures.append(reply.text)
                self.versions.append((time.monotonic(), reply.headers["X-Model-Version"]))
            sent += 1
            time.sleep(max(0.0, started + sent / REQUESTS_PER_SECOND - time.monotonic()))

    def wait_for_answers(self, count: int) -> None:
        """Until so many more requests were answered."""
        wanted = len(self.versions) + count
        wait_until(lambda: len(self.versions) >= wanted)

    def first_answer(self, version: str, since: float) -> float:
        """When the version first answered after that time."""

        def answers() -> list[float]:
            return [at for at, answered in list(self.versions) if answered == version and at > since]

        wait_until(lambda: bool(answers()))
        return answers()[0]

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.mark.slow
def test_promotion_and_rollback_under_load_fail_no_request(champion_store: MlflowClient, tmp_path: Path) -> None:
    with Gateway(tmp_path) as gateway:
        gateway.wait()
        with Load(gateway.url) as load:
            load.wait_for_answers(20)
            for version, move, seconds in (
                ("2", lambda: promote(TASK, models_of(champion_store, TASK)[-2].uri), 15),  # tried in another process
                ("1", lambda: rollback(TASK), 5),
            ):
                before = time.monotonic()
                move()
                moved = time.monotonic()
                assert str(champion_store.get_model_version_by_alias("digits", ALIAS).version) == version
                assert load.first_answer(version, since=before) - moved < seconds
            load.wait_for_answers(20)
    assert load.failures == []
    assert len(load.versions) > 100
    changes = [b for (_, a), (_, b) in zip(load.versions, load.versions[1:], strict=False) if a != b]
    assert changes == ["2", "1"]


def test_answers_are_those_of_the_champion(gateway: Gateway) -> None:
    validation = TASK.load("validation")
    answers = [
        requests.post(f"{gateway.url}/predict", json={"image": image.ravel().tolist()}, timeout=5).json()["prediction"]
        for image in validation.inputs[:50]
    ]
    assert np.mean(answers == validation.targets[:50]) > 0.8
    figures = requests.get(f"{gateway.url}/model", timeout=5).json()["figures"]
    assert {"test_accuracy", "test_loss"} <= figures.keys()
    assert not [name for name in figures if name.endswith(("_low", "_high"))]


def test_slow_clients_and_clients_that_hang_up_harm_nobody(gateway: Gateway) -> None:
    """200 that send a request byte by byte (slowloris), 50 that leave in the middle of one."""
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n"
    with contextlib.ExitStack() as open_connections:
        slow = [
            open_connections.enter_context(socket.create_connection(("127.0.0.1", gateway.port), timeout=5))
            for _ in range(200)
        ]
        for connection in slow:
            connection.sendall(head[:20])
        for _ in range(50):
            with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as connection:
                connection.sendall(head + b"\r\n{")
        for number in range(50):
            for connection in slow:
                connection.sendall(head[20 + number : 21 + number])
            assert requests.post(f"{gateway.url}/predict", json=body(), timeout=2).status_code == 200


@pytest.mark.slow
def test_more_connections_than_the_system_allows_do_not_block_it(champion_store: MlflowClient, tmp_path: Path) -> None:
    with Gateway(tmp_path, prefix=["sh", "-c", 'ulimit -n 150; exec "$@"', "sh"]) as gateway:
        gateway.wait()
        with contextlib.ExitStack() as open_connections:
            for _ in range(200):
                open_connections.enter_context(socket.create_connection(("127.0.0.1", gateway.port), timeout=5))
            for _ in range(20):
                assert requests.post(f"{gateway.url}/predict", json=body(), timeout=5).status_code == 200
        assert requests.post(f"{gateway.url}/predict", json=body(), timeout=5).status_code == 200
        assert "Too many open files" not in gateway.log()


def test_a_body_above_the_limit_is_refused_in_json(gateway: Gateway) -> None:
    headers = {"Content-Type": "application/json"}
    reply = requests.post(f"{gateway.url}/predict", data=b" " * 11_000_000, headers=headers, timeout=10)
    assert (reply.status_code, reply.json()) == (413, {"error": "Expected at most 10 MB."})


def test_memory_for_a_photograph_is_given_back(gateway: Gateway) -> None:
    def send(file: bytes) -> int:
        return requests.post(f"{gateway.url}/predict", files={"image": file}, timeout=60).status_code

    def upload(width: int, height: int, answers: set[int]) -> int:
        image = Image.new("RGB", (width, height), "white")
        image.paste((0, 0, 0), (width // 2, height // 4, width // 2 + width // 20, height * 3 // 4))
        file = io.BytesIO()
        image.save(file, "PNG")
        with ThreadPoolExecutor(8) as pool:  # every thread of the server gets some
            assert set(pool.map(lambda _: send(file.getvalue()), range(16))) == answers
        return psutil.Process(gateway.process.pid).memory_info().rss

    before = upload(400, 300, {200})
    assert upload(4000, 3000, {200, 503}) < before + 20_000_000  # few of them at a time, the others are put off


@pytest.mark.slow
def test_without_a_champion_it_waits_for_one_and_ends_when_it_is_asked_to(
    trained_store: MlflowClient, tmp_path: Path
) -> None:
    with Gateway(tmp_path) as gateway:
        gateway.wait("/healthz")
        assert requests.get(f"{gateway.url}/readyz", timeout=5).status_code == 503
        model = models_of(trained_store, TASK)[-1]
        trained_store.create_registered_model("digits")
        version = trained_store.create_model_version("digits", model.uri)
        trained_store.set_registered_model_alias("digits", ALIAS, version.version)
        gateway.wait()
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(timeout=15) == 0
        assert "Traceback" not in gateway.log()


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """`serve` sets up its own process, which is this one where it runs in a test."""
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT", "ORT_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr(serve, "_return_memory", lambda: None)
    monkeypatch.setattr(server, "_allowed_connections", lambda: 100)


def test_a_version_of_something_else_is_told(champion_store: MlflowClient) -> None:
    bare: Any = SimpleNamespace(metadata=SimpleNamespace(metadata=None))
    loader: Any = SimpleNamespace(load=lambda folder, name: bare)
    with pytest.raises(UserError, match="models:/digits/1 was logged by something else than this train"):
        release(champion_store, TASK, "1", loader)


ITEM = {"item": {"form": "values"}, "item_shape": [8, 8], "item_type": "uint8"}
ANSWER = {"answer": {"form": "labels", "labels": ["0", "1"]}}


def test_a_version_of_later_code_is_served_by_what_is_known_of_it() -> None:
    ink = {"form": "ink", "white": 16, "box": 0.8, "rotation": 90}
    later = ITEM | ANSWER | {"version": 99, "item": ink, "answer": ANSWER["answer"] | {"unit": "kg"}}
    assert forms_of("models:/digits/1", later) == (Ink(16, 0.8), Labels(("0", "1")), (8, 8), "uint8")


@pytest.mark.parametrize(
    ("picture", "shape", "item", "ordered"),
    [
        (None, [4], Values(), True),
        ({"kind": "ink", "white": 16, "box": 0.5}, [8, 8], Ink(16, 0.5), True),
        ({"kind": "photograph", "white": 255, "box": 1.0}, [32, 32, 3], Photograph(), False),
    ],
    ids=["values", "ink", "photograph"],
)
def test_a_version_of_earlier_code_is_served_as_it_was(
    picture: Any, shape: list[int], item: Item, ordered: bool
) -> None:
    presentation = {"kind": "labels", "labels": ["a", "b"], "picture": picture}
    earlier = {"task": "t", "presentation": presentation, "item_shape": shape, "item_type": "uint8"}
    assert forms_of("models:/t/1", earlier) == (item, Labels(("a", "b"), ordered), tuple(shape), "uint8")


def test_an_earlier_version_that_makes_pictures_is_served_as_it_was() -> None:
    presentation = {"kind": "picture", "labels": [], "picture": {"kind": "photograph", "white": 255, "box": 1.0}}
    earlier = {"presentation": presentation, "item_shape": [None, None, 3], "item_type": "uint8"}
    expected = (Photograph(any_size=True), Picture(), (None, None, 3), "uint8")
    assert forms_of("models:/style/1", earlier) == expected


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"answer": {"form": "sound"}}, "the form 'sound' is not one of labels, .*; use a newer one"),
        ({"answer": {"form": "labels"}}, "the form 'labels' lacks a value"),
        ({"answer": "labels"}, "does not say what it takes and answers"),
        ({"item": None}, "does not say what it takes and answers"),
        ({"item": {"form": "os"}}, "the form 'os' is not one of ink, "),
        ({"presentation": {"labels": ["0"]}}, "does not say what it takes and answers"),
        ({"presentation": None}, "does not say what it takes and answers"),
    ],
)
def test_a_version_that_cannot_be_shown_is_told(metadata: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        forms_of("models:/digits/1", ITEM | ANSWER | metadata)


def register(store: MlflowClient, folder: Path, code: str, alias: str = ALIAS) -> None:
    """A further model, with the champion's files and a line more in its code, becomes the champion, or challenger."""
    source = str(store.get_model_version("digits", "1").source)
    champion = store.get_logged_model(source.removeprefix("models:/"))
    files = Path(mlflow.artifacts.download_artifacts("models:/digits/1", dst_path=str(folder)))
    flavor = yaml.safe_load((files / "MLmodel").read_text())["flavors"]["python_function"]
    file = files / Path(flavor["model_code_path"]).name
    file.write_text(f"{code}\n{file.read_text()}")
    model = store.create_logged_model(champion.experiment_id, source_run_id=champion.source_run_id, tags=champion.tags)
    store.log_model_artifacts(model.model_id, str(files))
    store.finalize_logged_model(model.model_id, "READY")
    version = store.create_model_version("digits", f"models:/{model.model_id}")
    store.set_registered_model_alias("digits", alias, version.version)


@pytest.mark.slow
def test_versions_that_end_the_process_or_hang_harm_nobody(champion_store: MlflowClient, tmp_path: Path) -> None:
    def readiness() -> dict[str, str]:
        answer: dict[str, str] = requests.get(f"{gateway.url}/readyz", timeout=5).json()
        return answer

    good = models_of(champion_store, TASK)[-2].uri
    with Gateway(tmp_path) as gateway:
        gateway.wait()
        register(champion_store, tmp_path / "ends", "import os; os._exit(3)")
        problem = "Version 2 cannot be loaded."
        wait_until(lambda: readiness().get("problem") == problem)
        assert readiness() == {"status": "ready", "version": "1", "champion": "2", "problem": problem}
        register(champion_store, tmp_path / "hangs", "import time; time.sleep(40)")
        wait_until(lambda: readiness().get("problem") == "Version 3 is being loaded.")
        moved = time.monotonic()
        version = champion_store.create_model_version("digits", good)
        champion_store.set_registered_model_alias("digits", ALIAS, version.version)
        wait_until(lambda: readiness() == {"status": "ready", "version": "4"})
        assert time.monotonic() - moved < 20  # the one that hangs would have taken 40
        log = gateway.log()
        assert "Version 2 cannot be loaded: its process ended with exit code 3" in log
        assert "that was undone" not in log


@pytest.mark.usefixtures("here", "trained_store")
def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(SystemExit) as end:
            cli.main(serve.parser(), serve.run, ["--task", "digits", "--port", str(port)])
    assert end.value.code == 2
    words = capsys.readouterr().err
    assert words.startswith(f"error: Cannot listen at 127.0.0.1:{port} (")
    assert f"Name another port, e.g. port={port + 100}." in words


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "99999"], "error: port must be from 1 to 65535, received 99999."),
        (["--port", "0"], "error: port must be from 1 to 65535, received 0."),
        (["--shadow", "1.5"], "error: shadow must be a share of the requests, from 0 to 1, received 1.5."),
        (["--shadow", "nan"], "error: shadow must be a share of the requests, from 0 to 1, received nan."),
        (["--host", "203.0.113.7"], "Expected an address of this machine, e.g. host=127.0.0.1 or 0.0.0.0."),
    ],
)
@pytest.mark.usefixtures("here", "trained_store")
def test_no_such_port_or_host_is_told(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(serve.parser(), serve.run, ["--task", "digits", *arguments])
    assert end.value.code == 2
    assert message in capsys.readouterr().err
