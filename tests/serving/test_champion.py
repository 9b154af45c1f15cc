from __future__ import annotations

import logging
import time

import numpy as np
import pytest

from serving.gateway import champion as module
from serving.gateway.champion import Champion, Release
from tasks.contract import Presentation


def release(version: str) -> Release:
    return Release(version, (2,), Presentation("labels", ("a", "b")), {}, lambda items: np.zeros((len(items), 2)))


class Alias:
    """What the registry says, and what can be loaded."""

    def __init__(self) -> None:
        self.version: str | None = None
        self.broken: set[str] = set()
        self.down = False
        self.loads = 0

    def look(self) -> str | None:
        if self.down:
            raise ConnectionError("no route to the registry\nmore")
        return self.version

    def load(self, version: str) -> Release:
        self.loads += 1
        if version in self.broken:
            raise ValueError("no graph")
        return release(version)


@pytest.fixture
def alias() -> Alias:
    return Alias()


@pytest.fixture
def champion(alias: Alias) -> Champion:
    return Champion(alias.look, alias.load)


def version_of(champion: Champion) -> str | None:
    return champion.release.version if champion.release else None


def test_there_may_be_none_at_first(champion: Champion, alias: Alias) -> None:
    champion.refresh()
    assert champion.release is None
    assert champion.problem == "There is no champion yet; promote a model first."
    alias.down = True
    champion.refresh()
    assert champion.problem == "The registry cannot be asked."
    alias.down = False
    alias.version = "1"
    champion.refresh()
    assert version_of(champion) == "1"


def test_a_version_is_loaded_once(champion: Champion, alias: Alias) -> None:
    alias.version = "1"
    champion.refresh()
    champion.refresh()
    assert alias.loads == 1


def test_what_cannot_be_loaded_changes_nothing_is_told_once_and_tried_again(
    champion: Champion, alias: Alias, caplog: pytest.LogCaptureFixture
) -> None:
    alias.version = "1"
    champion.refresh()
    alias.version, alias.broken = "2", {"2"}
    champion.refresh()
    champion.refresh()
    assert version_of(champion) == "1"
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR] == [
        "Version 2 cannot be loaded: no graph"
    ]
    assert alias.loads == 2  # not again at once: it may be a large download
    assert champion.problem == "Version 2 cannot be loaded: no graph"
    alias.version = None
    champion.refresh()
    assert champion.problem == "There is no champion yet; promote a model first."
    alias.version = "2"
    champion.refresh()
    assert champion.problem == "Version 2 cannot be loaded: no graph"
    alias.broken = set()
    champion._retry_at = 0.0  # half a minute later
    champion.refresh()
    assert version_of(champion) == "2"


def test_a_registry_that_is_down_changes_nothing(
    champion: Champion, alias: Alias, caplog: pytest.LogCaptureFixture
) -> None:
    alias.version = "1"
    champion.refresh()
    alias.down = True
    champion.refresh()
    assert version_of(champion) == "1"
    assert caplog.messages[-1] == "The registry cannot be asked: no route to the registry"


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
    assert version_of(champion) == "1"
    alias.version = "2"
    deadline = time.monotonic() + 5
    while version_of(champion) != "2" and time.monotonic() < deadline:
        time.sleep(0.01)
    champion.stop()
    assert version_of(champion) == "2"
