"""The version that answers now. It changes when the alias `champion` moves, under running requests."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from forms.answer import Answer
from forms.item import Item, Shape
from served.record import Count
from serving.gateway.telling import Once, words
from serving.gateway.traffic import Traffic

logger = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 1.0
LEAST_SECONDS = 0.1  # between two looks, however many hints there are
LOAD_SECONDS = 60.0  # after which a version counts as one that cannot be loaded
RETRY_AFTER_SECONDS = 30.0  # a version that could not be loaded
NO_CHAMPION = "There is no champion yet; promote a model first."
ALIAS_REMOVED = "The alias was removed; the last champion goes on answering."
REGISTRY_DOWN = "The registry cannot be asked."


@dataclass(frozen=True)
class Release:
    """A registered version, loaded and ready to answer.

    Attributes:
        version: Of the registered model.
        item: The form of what it is asked about.
        shape: Of one item.
        dtype: Of one item, as numpy names it.
        answer: The form of what it answers.
        figures: Its measured metrics by name, e.g. "test_accuracy".
        predict: Items to outputs of shape (items, ...), or to a list of pictures; by name where there are several.
        traffic: The record of what it answers.
    """

    version: str
    item: Item
    shape: Shape
    dtype: str
    answer: Answer
    figures: dict[str, float]
    predict: Callable[[list[Any]], Any]
    traffic: Traffic = field(default_factory=Traffic)


@dataclass(frozen=True)
class Status:
    """What answers, and whether that is what should.

    Attributes:
        release: What answers; None until there is a champion.
        champion: The version that the alias pointed to when it was last looked at, None where it pointed to none.
        problem: Why the two differ or may differ, in a line for everybody: it names no path, host or user. Empty where
            the champion answers.
    """

    release: Release | None = None
    champion: str | None = None
    problem: str = NO_CHAMPION

    @property
    def is_behind(self) -> bool:
        """Whether something else answers than the alias points to."""
        return (self.release.version if self.release else None) != self.champion


class Loading(threading.Thread):
    """A version that is made ready in a thread of its own: what that does, and how long it takes, holds up nobody.

    Attributes:
        began: When it began, of time.monotonic.
        ended: When it failed.
        release: The version once it is ready.
        cause: Why it cannot be loaded, once it is known. For the log: it may name paths, hosts and users.
    """

    def __init__(self, load: Callable[[str], Release], version: str) -> None:
        super().__init__(name=f"loading version {version}", daemon=True)
        self._load = load
        self._version = version
        self.began = self.ended = time.monotonic()
        self.release: Release | None = None
        self.cause = ""

    def run(self) -> None:
        try:
            self.release = self._load(self._version)
        except BaseException as error:  # the store's driver, or the version's own code, which may even call sys.exit
            self.ended = time.monotonic()
            self.cause = words(error)


class Champion:
    """Follows the alias in a thread of its own. A version that cannot be loaded changes nothing but the status.

    Args:
        look: Gives the version that the alias points to, None where there is none.
        load: Makes a version ready.
        look_every: So many seconds. Where the registry gives hints (`look_soon`), it may be many.

    Attributes:
        count: Whom to tell how many items versions record, and how many they lose; None for nobody.
    """

    def __init__(
        self,
        look: Callable[[], str | None],
        load: Callable[[str], Release],
        look_every: float = LOOK_EVERY_SECONDS,
    ) -> None:
        self.count: Count | None = None
        self._look = look
        self._load = load
        self._look_every = look_every
        self._hint = threading.Event()
        self._loading: dict[str, Loading] = {}  # by version; one that hangs must not keep a further one waiting
        self._once = Once(logger)
        self.status = Status()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="champion", daemon=True)

    def start(self) -> None:
        """Takes the champion of now, and every new one within seconds."""
        self._thread.start()

    def look_soon(self) -> None:
        """Has it look at once: somebody says that the alias may have moved."""
        self._hint.set()

    def stop(self) -> None:
        self._stopped.set()
        self._hint.set()
        self._thread.join(timeout=1)  # it may be waiting for the registry
        if self.release is not None:
            self.release.traffic.ends(is_replaced=False)

    @property
    def release(self) -> Release | None:
        """What answers now; None until there is a champion. A request keeps the one it began with."""
        return self.status.release

    @property
    def problem(self) -> str:
        return self.status.problem

    def refresh(self) -> None:
        """Looks once, and begins to load what is new. What loads quickly answers when this returns."""
        release = self.status.release
        try:
            version = self._look()
        except BaseException as error:  # whatever the store's driver raises; the release at hand goes on answering
            self._once.say(logging.WARNING, f"The registry cannot be asked: {words(error)}")
            self.status = Status(release, self.status.champion, REGISTRY_DOWN)
            return
        # Those of other versions that are ready by now are of no use any more.
        self._loading = {name: one for name, one in self._loading.items() if name == version or one.is_alive()}
        if version is None:
            if release is None:
                self._once.say(logging.INFO, "Nothing to serve yet. Waiting for a first promotion.")
            self.status = Status(release, None, ALIAS_REMOVED if release else NO_CHAMPION)
        elif release is not None and release.version == version:
            self._once.forget()
            self.status = Status(release, version, "")
        else:
            self._advance(version)

    def _advance(self, version: str) -> None:
        """Takes the version if it is ready, and sees to it that it becomes ready."""
        loading = self._loading.get(version)
        if loading is None or (loading.cause and time.monotonic() > loading.ended + RETRY_AFTER_SECONDS):
            loading = self._loading[version] = Loading(self._load, version)
            loading.start()
        loading.join(LOOK_EVERY_SECONDS)
        if loading.release is not None:
            del self._loading[version]
            self._replace(loading.release)
            self._once.say(logging.INFO, f"Version {version} answers from now on.")
        elif loading.cause or time.monotonic() > loading.began + LOAD_SECONDS:
            cause = loading.cause or f"it is not ready after {LOAD_SECONDS:.0f} s"
            self._once.say(logging.ERROR, f"Version {version} cannot be loaded: {cause}")
            self.status = Status(self.status.release, version, f"Version {version} cannot be loaded.")
        else:
            self.status = Status(self.status.release, version, f"Version {version} is being loaded.")

    def _replace(self, release: Release) -> None:
        """Has this version answer from now on."""
        before = self.status.release
        release.traffic.begins(self.count)
        self.status = Status(release, release.version, "")
        if before is not None:
            before.traffic.ends(is_replaced=True)

    def _follow(self) -> None:
        while True:
            try:
                self.refresh()
            except BaseException:  # nobody would follow the alias any more, and nobody would notice
                logger.exception("Looking after the champion failed; it goes on.")
            # Where not all is as it should be, it looks often, whatever it was told.
            every = min(LOOK_EVERY_SECONDS, self._look_every) if self.status.problem else self._look_every
            self._hint.wait(every - LEAST_SECONDS)
            self._hint.clear()
            if self._stopped.wait(LEAST_SECONDS):
                return
