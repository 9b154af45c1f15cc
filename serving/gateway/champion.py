"""The version that answers now. It changes when the alias `champion` moves, under running requests."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tasks.contract import Presentation

logger = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 1.0
NO_CHAMPION = "There is no champion yet; promote a model first."
RETRY_AFTER_SECONDS = 30.0  # a version that could not be loaded


@dataclass(frozen=True)
class Release:
    """A registered version, loaded and ready to answer.

    Attributes:
        version: Of the registered model.
        shape: Of one item; None for a side that may be any.
        presentation: How items come from a person, and predictions go to one.
        figures: Its measured metrics by name, e.g. "test_accuracy".
        predict: Items to outputs of shape (items, ...), or to a list of pictures.
    """

    version: str
    shape: tuple[Any, ...]
    presentation: Presentation
    figures: dict[str, float]
    predict: Callable[[list[Any]], Any]


class Champion:
    """Follows the alias in a thread of its own. A version that cannot be loaded changes nothing.

    Args:
        look: Gives the version that the alias points to, None where there is none.
        load: Makes a version ready.
    """

    def __init__(self, look: Callable[[], str | None], load: Callable[[str], Release]) -> None:
        self._look = look
        self._load = load
        self._release: Release | None = None
        self._failed: str | None = None
        self._failure = ""
        self._retry_at = 0.0
        self.problem = NO_CHAMPION  # while there is no release
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="champion", daemon=True)

    def start(self) -> None:
        """Takes the champion of now, and from then on every new one within seconds."""
        self.refresh()
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(timeout=1)  # it may be waiting for the registry

    @property
    def release(self) -> Release | None:
        """What answers now; None until there is a champion. A request keeps the one it began with."""
        return self._release

    def refresh(self) -> None:
        """Looks once, and loads what is new."""
        try:
            version = self._look()
        except Exception as error:  # whatever the store's driver raises; the release at hand goes on answering
            self.problem = "The registry cannot be asked."  # the reason may name hosts and users
            logger.warning("The registry cannot be asked: %s", _first_line(error))
            return
        if version is None:
            self.problem = NO_CHAMPION
            return
        if self._release and self._release.version == version:
            return
        if version == self._failed and time.monotonic() < self._retry_at:
            self.problem = self._failure
            return
        try:
            self._release = self._load(version)
        except Exception as error:  # the store again, or the version's own code
            self.problem = self._failure = f"Version {version} cannot be loaded: {_first_line(error)}"
            if version != self._failed:  # it is tried again, and told once
                logger.error(self.problem)
            self._failed, self._retry_at = version, time.monotonic() + RETRY_AFTER_SECONDS
            return
        self._failed = None
        logger.info("Version %s answers from now on.", version)

    def _follow(self) -> None:
        while not self._stopped.wait(LOOK_EVERY_SECONDS):
            self.refresh()


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
