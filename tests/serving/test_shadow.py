"""The challenger follows its alias and answers beside the champion, through the gateway's application."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from flask.testing import FlaskClient

from forms.answers.labels import Labels
from serving.gateway import challenger, scoring
from serving.gateway import shadow as module
from serving.gateway.app import create_app
from serving.gateway.champion import Champion
from serving.gateway.scoring import Counts
from serving.gateway.shadow import Files, Shadow
from tasks.contract import get_task
from tests.processes import processes_of
from tests.serving.asking import Alias, post, release, totals

TASK = get_task("digits")
BODY = '{"image": [' + ", ".join(["0"] * 64) + "]}"
SAYS_ZERO = "import numpy as np\ndef predict(items): return np.eye(10)[[0] * len(items)]\n"


class Registry:
    """What the registry says of the challenger, and what it was told."""

    def __init__(self, folder: Path) -> None:
        self.version: str | None = "2"
        self.down: BaseException | None = None
        self.kept: dict[str, Counts] = {}
        self.answer = TASK.answer
        self.fetched: list[Path] = []
        self._folder = folder

    def look(self) -> str | None:
        if self.down:
            raise self.down
        return self.version

    def fetch(self, version: str, folder: Path) -> Files:
        self.fetched.append(folder)
        if version == "no model":
            raise ValueError("it was not made by train\nmore")
        return Files(self._folder, self.answer)

    def keep(self, version: str, counts: Counts) -> None:
        if self.down:
            raise self.down
        self.kept[version] = counts

    def write(self, code: str) -> None:
        (self._folder / "code.py").write_text(code)


@pytest.fixture
def registry(fake_mlflow: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setattr(module, "LOOK_EVERY_SECONDS", 0.05)
    monkeypatch.setattr(module, "KEEP_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(scoring, "EVERY_SECONDS", 0.01)
    made = Registry(fake_mlflow)
    made.write(SAYS_ZERO)
    return made


@pytest.fixture
def shadow(registry: Registry) -> Shadow:
    return Shadow(1.0, registry.look, registry.fetch, registry.keep)


@pytest.fixture
def client(shadow: Shadow, alias: Alias) -> FlaskClient:
    """The gateway of a champion, version 1, that says 0 to whatever it is asked."""
    champion = Champion(
        lambda: alias.version, lambda version: release(version, lambda items: np.eye(10)[[0] * len(items)])
    )
    champion.refresh()
    return create_app(TASK, champion, shadow=shadow).test_client()


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def processes() -> list[psutil.Process]:
    return processes_of("serving.gateway.challenger")


def counted(client: FlaskClient, version: str = "2") -> dict[str, float]:
    values = totals(client)
    return {
        outcome: values.get(("model_shadow_items_total", (("outcome", outcome), ("version", version))), -1.0)
        for outcome in challenger.OUTCOMES
    }


@contextlib.contextmanager
def running(shadow: Shadow) -> Iterator[None]:
    """The shadow, once it has a challenger; afterwards nothing of it is left."""
    with shadow:
        wait_until(lambda: shadow._scoring is not None)
        yield
    assert processes() == []


def test_what_is_answered_is_compared_counted_and_kept(client: FlaskClient, shadow: Shadow, registry: Registry) -> None:
    assert counted(client)["agreed"] == -1  # there is no challenger yet
    with running(shadow):
        assert counted(client) == {"agreed": 0, "differed": 0, "failed": 0, "skipped": 0}
        for _ in range(3):
            assert post(client, BODY).status_code == 200
        wait_until(lambda: counted(client)["agreed"] == 3)
        assert post(client, '{"image": [1]}').status_code == 400  # nobody answers that
    assert counted(client) == {"agreed": 3, "differed": 0, "failed": 0, "skipped": 0}
    assert registry.kept == {"2": {"1": {"agreed": 3}}}


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import time\ndef predict(items): time.sleep(60)\n", "no answer within"),
        ("import os\ndef predict(items): os._exit(3)\n", "its process ended with exit code 3"),
        (
            "import numpy\nkept = []\ndef predict(items):\n while len(kept) < 100: kept.append(numpy.zeros(2**30))\n",
            "MemoryError",
        ),
        ("raise ValueError('no graph')", "ValueError: no graph"),
        ("import time; time.sleep(60)", "no answer within 2 s"),
    ],
    ids=["hangs", "crashes", "eats memory", "does not load", "hangs while it is loaded"],
)
def test_whatever_the_challenger_does_the_champion_answers(
    client: FlaskClient,
    shadow: Shadow,
    registry: Registry,
    code: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if said.startswith("no answer"):  # on a busy machine the others would run into these limits, too
        monkeypatch.setattr(challenger, "LOAD_SECONDS", 2.0)
        monkeypatch.setattr(challenger, "BATCH_SECONDS", 1.0)
    monkeypatch.setattr(scoring, "FIRST_PAUSE_SECONDS", 60.0)
    registry.write(code)
    with running(shadow):
        slowest = 0.0
        while counted(client)["failed"] == 0:
            started = time.monotonic()
            assert (post(client, BODY).json or {})["prediction"] == 0
            slowest = max(slowest, time.monotonic() - started)
            time.sleep(0.01)
        wait_until(lambda: processes() == [])
        assert said in caplog.text
        assert slowest < 1.0
        assert post(client, BODY).status_code == 200
        wait_until(lambda: counted(client)["skipped"] >= 1)
        assert counted(client)["agreed"] == 0
    assert registry.kept["2"]["1"]["failed"] >= 1


def test_it_is_started_again(
    client: FlaskClient, shadow: Shadow, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "FIRST_PAUSE_SECONDS", 0.2)
    registry.write("import os\ndef predict(items): os._exit(3)\n")
    with running(shadow):
        post(client, BODY)
        wait_until(lambda: counted(client)["failed"] == 1)
        registry.write(SAYS_ZERO)
        wait_until(lambda: bool(post(client, BODY)) and counted(client)["agreed"] >= 1)


def test_without_a_challenger_it_says_once_how_to_make_one(
    shadow: Shadow, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "serving.gateway.shadow")
    registry.version = None
    shadow.refresh()
    shadow.refresh()
    (said,) = caplog.messages
    assert said.startswith("There is no challenger yet: no version has the alias challenger.")


def test_it_follows_the_alias(
    client: FlaskClient, shadow: Shadow, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "serving.gateway.shadow")
    with running(shadow):
        post(client, BODY)
        wait_until(lambda: counted(client)["agreed"] == 1)
        (first,) = processes()
        registry.version = "3"
        wait_until(lambda: counted(client, "3")["agreed"] == 0)
        assert not first.is_running()
        registry.version = "no model"
        wait_until(lambda: "Version no model cannot be the challenger: it was not made by train more" in caplog.text)
        assert processes() == []
        registry.version = "3"
        wait_until(lambda: len(processes()) == 1)
        registry.version = None
        wait_until(lambda: "There is no challenger any more." in caplog.text)
        assert processes() == []
        post(client, BODY)
        assert len(registry.fetched) == 4
        assert [folder for folder in registry.fetched if folder.exists()] == []
    assert registry.kept == {"2": {"1": {"agreed": 1}}}


@pytest.mark.parametrize("error", [ConnectionError("no route\nmore"), SystemExit(3)])
def test_a_registry_that_does_not_answer_changes_nothing(
    client: FlaskClient, shadow: Shadow, registry: Registry, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    with running(shadow):
        wait_until(lambda: len(processes()) == 1)
        registry.down = error
        wait_until(lambda: "The registry cannot be asked for a challenger: " in caplog.text)
        post(client, BODY)
        wait_until(lambda: counted(client)["agreed"] == 1)
        wait_until(lambda: "What the challenger answered cannot be kept: " in caplog.text)
        assert registry.kept == {}
        registry.down = None
        wait_until(lambda: registry.kept == {"2": {"1": {"agreed": 1}}})


def test_a_registry_that_hangs_does_not_keep_the_gateway(
    shadow: Shadow, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "END_SECONDS", 0.1)
    with running(shadow):
        wait_until(lambda: len(processes()) == 1)
        shadow._look = lambda: time.sleep(3)
        time.sleep(0.2)
        started = time.monotonic()
    assert time.monotonic() - started < 2


def test_tags_are_not_written_at_every_look(
    client: FlaskClient, shadow: Shadow, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEEP_EVERY_SECONDS", 60.0)
    with running(shadow):
        for number in (1, 2):
            post(client, BODY)
            wait_until(lambda number=number: counted(client)["agreed"] == number)  # type: ignore[misc]
            wait_until(lambda: bool(registry.kept))
        assert registry.kept == {"2": {"1": {"agreed": 1}}}
    assert registry.kept == {"2": {"1": {"agreed": 2}}}


class Noted:
    """Takes the place of what compares."""

    def __init__(self, version: str) -> None:
        self.challenger: Any = self
        self.version = version
        self.items = 0

    def note(self, *_: object) -> None:
        self.items += 1


@pytest.mark.parametrize(("share", "least", "most"), [(0.25, 180, 320), (1.0, 1000, 1000)])
def test_a_share_of_the_requests_is_drawn(registry: Registry, share: float, least: int, most: int) -> None:
    shadow = Shadow(share, registry.look, registry.fetch, registry.keep)
    noted: Any = Noted("2")
    shadow._scoring = noted
    for _ in range(1000):
        shadow.note(release("1", lambda items: items), None, None)
    assert least <= noted.items <= most


def test_a_version_is_not_compared_with_itself(shadow: Shadow) -> None:
    noted: Any = Noted("1")
    shadow._scoring = noted
    shadow.note(release("1", lambda items: items), None, None)
    assert noted.items == 0


def test_another_form_of_answer_is_told_apart(client: FlaskClient, shadow: Shadow, registry: Registry) -> None:
    registry.answer = Labels(("another",) * 10)
    with running(shadow):
        post(client, BODY)
        wait_until(lambda: counted(client)["differed"] == 1)
