"""What identifies data: the SHA-256 of its values, wherever they are kept. Of files it is kept until one changes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from contract.batches import batches, bounded
from contract.cache import cache_folder
from contract.items import Files, Items

logger = logging.getLogger(__name__)

# A file that changed a moment ago may change again without another time of change: clocks of file systems tick slowly.
SETTLED_SECONDS = 2.0
SAMPLES = 4  # items that are read again, to see that files are still read as they were
TOLD_SECONDS = 10.0


def digest(columns: Sequence[Any], judge: str = "") -> str:
    """SHA-256 of the judge and of the type, shape and values of all columns, in hexadecimal.

    Files have to be read for that, which takes long. The digest is kept in the cache therefore, under a key that has
    the path, size and times of every file, and it holds as long as some of the files are read as they were.

    Args:
        columns: Arrays and items. Items of one shape have the digest of the array that they would be.
        judge: See contract.data.Split.
    """
    files = [column for column in columns if isinstance(column, Files)]
    if not files:
        return _digest(columns, judge)
    key, settled = _key(columns, judge)
    path = cache_folder() / "digests" / f"{key}.json"
    samples = [_sample(column) for column in files]
    with contextlib.suppress(OSError, ValueError, KeyError):
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["samples"] == samples:
            return str(kept["digest"])
    found = _digest(columns, judge)
    if settled and _key(columns, judge)[0] == key:
        _keep(path, {"digest": found, "samples": samples})
    return found


def _digest(columns: Sequence[Any], judge: str) -> str:
    hasher = hashlib.sha256(judge.encode())
    for column in columns:
        hasher.update(f"{column.dtype.str}{column.shape}".encode())
        if isinstance(column, Items):
            _update(hasher, column)
        else:
            hasher.update(np.ascontiguousarray(column).data)
    return hasher.hexdigest()


def _update(hasher: Any, items: Items) -> None:
    told, done = time.monotonic(), 0
    ragged = None in items.shape
    parts = ([row] for row in range(len(items))) if ragged else batches(items, bounded(items, len(items)))
    for rows in parts:
        values = items[rows]
        if ragged:  # the same values in another shape are other data
            hasher.update(str(values.shape[1:]).encode())
        hasher.update(values.data)
        done += len(rows)
        if time.monotonic() > told + TOLD_SECONDS:
            logger.info("Read %d of %d files, for the digest of the data.", done, len(items))
            told = time.monotonic()


def _key(columns: Sequence[Any], judge: str) -> tuple[str, bool]:
    """What changes where a file does, and whether all files have been as they are for a while."""
    newest, hasher = 0.0, hashlib.sha256(judge.encode())
    for column in columns:
        if not isinstance(column, Files):
            hasher.update(_digest([column], "").encode())
            continue
        hasher.update(f"{column.dtype.str}{column.shape}{len(column)}".encode())
        for path in column.paths:
            with contextlib.suppress(OSError):  # whoever reads it says what is wrong with it
                stat = path.stat()
                newest = max(newest, stat.st_mtime, stat.st_ctime)
                hasher.update(f"{path.absolute()}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ctime_ns}\0".encode())
    return hasher.hexdigest(), newest < time.time() - SETTLED_SECONDS


def _sample(files: Files) -> list[str]:
    """Digests of a few items, spread evenly."""
    rows = sorted({int(row) for row in np.linspace(0, len(files) - 1, SAMPLES)})
    return [_digest([files.made(row)], "") for row in rows]


def _keep(path: Path, values: dict[str, Any]) -> None:
    """Writes a file that nobody sees half-written. Where it cannot be written, the digest is computed again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.write_text(json.dumps(values), encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        logger.warning("The digest of the data cannot be kept at %s (%s).", path, error.strerror or error)
