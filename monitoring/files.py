"""Files of the record: how one is put in its place, and what is said of one that nobody can read."""

from __future__ import annotations

import functools
import logging
import os
from pathlib import Path

import pyarrow as pa

logger = logging.getLogger(__name__)

# What reading a file raises that is cut off, or that somebody else made.
UNREADABLE = (OSError, ValueError, KeyError, TypeError, pa.ArrowException)


def draft_of(place: Path) -> Path:
    """Where a file is written before it is put in its place; whoever packs the record removes what is left there."""
    return place.with_name(f".{place.name}.tmp")


def put(place: Path) -> None:
    """Moves a file from its draft to its place, after it is on the disk: the machine may lose its power."""
    draft = draft_of(place)
    with draft.open("rb+") as file:
        os.fsync(file.fileno())
    draft.replace(place)


@functools.cache
def warn_once(words: str) -> None:
    """Says what is left out. The record is read window by window, and one broken file is no news each time."""
    logger.warning("%s", words)


def left_out(path: Path) -> None:
    """Says that a file could not be read. It stays where it is: it is for people to see what it was."""
    warn_once(f"{path} is broken or not of the record, and is left out.")
