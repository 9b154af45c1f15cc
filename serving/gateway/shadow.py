"""The version behind the alias `challenger` answers a share of what the champion answers, in its shadow.

Nobody sees these answers, and no request waits for them. How they compare with the champion's is counted and kept.
"""

from __future__ import annotations

import logging
import random
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forms.answer import Answer
from forms.outputs import Outputs
from serving.gateway.challenger import Challenger
from serving.gateway.champion import RETRY_AFTER_SECONDS, Release
from serving.gateway.scoring import Counts, Scoring
from serving.gateway.telling import Once, words

logger = logging.getLogger(__name__)

NO_CHALLENGER = (
    "There is no challenger yet: no version has the alias challenger. promote with to=challenger gives it to one."
)
LOOK_EVERY_SECONDS = 2.0
KEEP_EVERY_SECONDS = 10.0
END_SECONDS = 5.0  # for a registry to take what is counted last


@dataclass(frozen=True)
class Files:
    """What it takes to run a version in a process of its own: the folder of its files, and the form of its answers."""

    model: Path
    answer: Answer


class Shadow:
    """Follows the alias in a thread of its own. Used as a context, at whose end the challenger's process ends.

    A registry that does not answer, or takes long, changes nothing but what is kept there.

    Args:
        share: Of the requests that are answered, from 0 to 1, those that the challenger gets, drawn at random.
        look: Gives the version that the alias points to, None where there is none.
        fetch: Puts the files of a version into an empty folder.
        keep: Keeps what was counted of a version until now.

    Attributes:
        tally: Whom to tell a challenger's version, an outcome, and of how many items more; None for nobody.
    """

    def __init__(
        self,
        share: float,
        look: Callable[[], str | None],
        fetch: Callable[[str, Path], Files],
        keep: Callable[[str, Counts], None],
    ) -> None:
        self.tally: Callable[[str, str, int], None] | None = None
        self._share = share
        self._look, self._fetch, self._keep = look, fetch, keep
        self._scoring: Scoring | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._kept: Counts = {}
        self._keep_at = 0.0  # of time.monotonic
        self._failed: tuple[str, float] | None = None  # a version whose files could not be had, and when
        self._had_one = False  # whether there ever was a challenger
        self._once = Once(logger)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="shadow", daemon=True)

    def __enter__(self) -> Shadow:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        if (scoring := self._scoring) is not None:
            scoring.end()  # whatever the thread waits for
        self._thread.join(END_SECONDS)

    def note(self, release: Release, item: Any, output: Outputs) -> None:
        """An item was answered so, (...), by that version. Takes microseconds."""
        scoring = self._scoring
        # After its promotion a version may be the challenger still, and is nothing to compare itself with.
        if scoring is None or release.version == scoring.challenger.version or random.random() >= self._share:
            return
        scoring.note(release, item, output)

    def refresh(self) -> None:
        """Looks once, and keeps what was counted where it is time for that."""
        try:
            version = self._look()
        except BaseException as error:  # whatever the store's driver raises; the challenger at hand goes on
            self._once.say(logging.WARNING, f"The registry cannot be asked for a challenger: {words(error)}")
        else:
            if version != (self._scoring.challenger.version if self._scoring else None):
                self._replace(version)
            elif version is None and not self._had_one:
                self._once.say(logging.INFO, NO_CHALLENGER)
        if time.monotonic() >= self._keep_at:
            self._keep_counts()

    def _replace(self, version: str | None) -> None:
        """Ends the challenger of until now, and takes this one."""
        self._end()
        self._had_one = True
        if version is None:
            self._failed = None
            self._once.say(logging.INFO, "There is no challenger any more.")
            return
        if self._failed and self._failed[0] == version and time.monotonic() < self._failed[1] + RETRY_AFTER_SECONDS:
            return
        folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)  # what runs there may be writing
        try:
            files = self._fetch(version, Path(folder.name))
        except BaseException as error:  # as above; the version may be no model at all
            folder.cleanup()
            self._failed = version, time.monotonic()
            self._once.say(logging.ERROR, f"Version {version} cannot be the challenger: {words(error)}")
            return
        self._folder = folder
        challenger = Challenger(version, files.answer, files.model, Path(folder.name))
        scoring = Scoring(challenger, self.tally or (lambda *_: None))
        scoring.start()
        self._scoring = scoring
        share = f"{100 * self._share:g} %"
        self._once.say(logging.INFO, f"Version {version} is the challenger; it answers {share} of the requests, too.")

    def _end(self) -> None:
        """Ends the challenger, and keeps what was counted last."""
        if (scoring := self._scoring) is None:
            return
        scoring.end()
        self._keep_counts()
        self._scoring, self._kept = None, {}
        if self._folder is not None:
            self._folder.cleanup()

    def _keep_counts(self) -> None:
        if self._scoring is None or (counts := self._scoring.counts()) == self._kept:
            return
        self._keep_at = time.monotonic() + KEEP_EVERY_SECONDS
        try:
            self._keep(self._scoring.challenger.version, counts)
            self._kept = counts
        except BaseException as error:  # as above; the next time all is kept
            self._once.say(logging.WARNING, f"What the challenger answered cannot be kept: {words(error)}")

    def _follow(self) -> None:
        while True:
            try:
                self.refresh()
            except BaseException:  # nobody would follow the alias any more, and nobody would notice
                logger.exception("Looking after the challenger failed; it goes on.")
            if self._stopped.wait(LOOK_EVERY_SECONDS):
                break
        self._end()
