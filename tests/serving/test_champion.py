from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from forms.answers.labels import Labels
from forms.items.values import Values
from serving.gateway import champion as module
from serving.gateway.champion import Champion, Release, Status


def release(version: str) -> Release:
    return Release(version, Values(), (2,), "uint8", Labels(("a", "b")), {}, lambda items: np.zeros((len(items), 2)))


class Alias:
    """What the registry says, and what can be loaded."""

    def __init__(self) -> None:
        self.version: str | None = None
        self.broken: dict[str, BaseException] = {}
        self.hanging: dict[str, threading.Event] = {}
        self.down: BaseException | None = None
        self.loads = 0

    def look(self) -> str | None:
        if self.down:
            raise self.down
        return self.version

    def load(self, version: str) -> Release:
        self.loads += 1
        if version in self.hanging:
            self.hanging[version].wait(20)
        if version in self.broken:
            raise self.broken[version]
        return release(version)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def alias() -> Alias:
    return Alias()


@pytest.fixture
def champion(alias: Alias) -> Champion:
    return Champion(alias.look, alias.load)


NO_GRAPH = ValueError("no graph in /home/user/model\nmore")
NO_ROUTE = ConnectionError("no route to the registry\nmore")


def version_of(champion: Champion) -> str | None:
    return champion.release.version if champion.release else None


def test_there_may_be_none_at_first(champion: Champion, alias: Alias) -> None:
    champion.refresh()
    assert champion.release is None
    assert champion.problem == "There is no champion yet; promote a model first."
    alias.down = NO_ROUTE
    champion.refresh()
    assert champion.problem == "The registry cannot be asked."
    alias.down = None
    alias.version = "1"
    champion.refresh()
    assert version_of(champion) == "1"


def test_a_version_is_loaded_once(champion: Champion, alias: Alias) -> None:
    alias.version = "1"
    champion.refresh()
    champion.refresh()
    assert alias.loads == 1


def test_what_cannot_be_loaded_changes_nothing_is_told_once_and_tried_again(
    champion: Champion, alias: Alias, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    alias.version = "1"
    champion.refresh()
    alias.version, alias.broken = "2", {"2": NO_GRAPH}
    champion.refresh()
    champion.refresh()
    assert version_of(champion) == "1"
    told = "Version 2 cannot be loaded: no graph in /home/user/model more"
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR] == [told]
    assert alias.loads == 2  # not again at once: it may be a large download
    assert champion.problem == "Version 2 cannot be loaded."
    alias.version = None
    champion.refresh()
    assert champion.problem == "The alias was removed; the last champion goes on answering."
    alias.version = "2"
    champion.refresh()
    assert champion.problem == "Version 2 cannot be loaded."
    alias.broken = {}
    monkeypatch.setattr(module, "RETRY_AFTER_SECONDS", 0.0)  # half a minute later
    champion.refresh()
    assert version_of(champion) == "2"


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), MemoryError()])
def test_whatever_is_raised_the_alias_is_followed(
    champion: Champion, alias: Alias, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr(module, "LOOK_EVERY_SECONDS", 0.01)
    alias.version, alias.broken = "1", {"1": error}
    champion.start()
    wait_until(lambda: champion.problem == "Version 1 cannot be loaded.")
    alias.down = error
    wait_until(lambda: champion.problem == "The registry cannot be asked.")
    alias.down, alias.version = None, "2"
    wait_until(lambda: version_of(champion) == "2")
    champion.stop()


def test_one_that_hangs_keeps_no_other_waiting(
    champion: Champion, alias: Alias, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "LOOK_EVERY_SECONDS", 0.01)
    alias.hanging["1"] = threading.Event()
    alias.version = "1"
    champion.refresh()
    assert champion.status == Status(None, "1", "Version 1 is being loaded.")
    alias.version = "2"
    champion.refresh()
    assert version_of(champion) == "2"
    alias.version = "1"
    champion.refresh()
    assert alias.loads == 2  # the first attempt goes on
    monkeypatch.setattr(module, "LOAD_SECONDS", 0.0)
    champion.refresh()
    assert champion.problem == "Version 1 cannot be loaded."
    assert caplog.messages[-1] == "Version 1 cannot be loaded: it is not ready after 0 s"
    alias.hanging["1"].set()  # late, and welcome
    champion._loading["1"].join()
    champion.refresh()
    assert version_of(champion) == "1"


def test_the_status_says_when_another_version_answers_than_should(champion: Champion, alias: Alias) -> None:
    champion.refresh()
    assert not champion.status.is_behind
    alias.version = "1"
    champion.refresh()
    assert not champion.status.is_behind
    assert champion.problem == ""
    alias.version, alias.broken = "2", {"2": NO_GRAPH}
    champion.refresh()
    assert (champion.status.champion, champion.status.is_behind) == ("2", True)
    alias.down = NO_ROUTE
    champion.refresh()
    assert (champion.status.champion, champion.status.is_behind) == ("2", True)
    alias.down, alias.version = None, None
    champion.refresh()
    assert (champion.status.champion, champion.status.is_behind) == (None, True)
    alias.version = "1"
    champion.refresh()
    assert (champion.status.is_behind, champion.problem) == (False, "")


def test_what_happens_every_second_is_told_once(
    champion: Champion, alias: Alias, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, module.__name__)
    champion.refresh()
    champion.refresh()
    alias.down = NO_ROUTE
    champion.refresh()
    champion.refresh()
    alias.down, alias.version = None, "1"
    champion.refresh()
    alias.down = NO_ROUTE
    champion.refresh()
    assert caplog.messages == [
        "Nothing to serve yet. Waiting for a first promotion.",
        "The registry cannot be asked: no route to the registry more",
        "Version 1 answers from now on.",
        "The registry cannot be asked: no route to the registry more",
    ]


def test_a_registry_that_is_down_changes_nothing(
    champion: Champion, alias: Alias, caplog: pytest.LogCaptureFixture
) -> None:
    alias.version = "1"
    champion.refresh()
    alias.down = NO_ROUTE
    champion.refresh()
    assert version_of(champion) == "1"
    assert caplog.messages[-1] == "The registry cannot be asked: no route to the registry more"


def test_an_alias_that_was_taken_away_leaves_the_last_champion(champion: Champion, alias: Alias) -> None:
    alias.version = "1"
    champion.refresh()
    alias.version = None
    champion.refresh()
    assert version_of(champion) == "1"


def test_it_follows_by_itself(champion: Champion, alias: Alias, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_EVERY_SECONDS", 0.01)
    alias.version = "1"
    champion.start()
    wait_until(lambda: version_of(champion) == "1")
    alias.version = "2"
    wait_until(lambda: version_of(champion) == "2")
    champion.stop()
