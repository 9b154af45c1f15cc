"""The record of traffic that servers keep in a folder (served/record.py), to be read, and to be made small.

An hour is a folder of JSON lines while servers write it. Later it is packed: `<hour>.parquet` has its rows,
`<hour>.features.parquet` and `<hour>.inputs.parquet` the rest. The first of these is the last to appear, and names the
files whose lines it has: they count no more, whether they are removed already or not.
"""

from __future__ import annotations

import calendar
import contextlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock

from monitoring.files import UNREADABLE, draft_of, left_out, put
from monitoring.tables import SCHEMAS, TIMES, UnknownLineError, tables_of

HOUR = re.compile(r"\d{4}-\d\d-\d\dT\d\d")
PACKED = re.compile(rf"({HOUR.pattern})(?:-\d+)?\.parquet")  # the second time an hour is packed it is <hour>-1
HOUR_FORMAT, HOUR_SECONDS = "%Y-%m-%dT%H", 3600
QUIET_SECONDS = 120  # after which nobody writes an hour that is over
ATTEMPTS = 5  # at an hour whose files are removed while they are read
NAMES = b"files"  # under which a packed hour names the files that it was made of
LOCK = ".packing"


@dataclass(frozen=True)
class Traffic:
    """What was recorded in a span of time.

    Attributes:
        rows: A row an item that was answered, and output of the model: `source`, `type` ("prediction"), `id`, `time` in
            seconds since 1970, `seconds` that the request took, `output`, and of it the `label`'s place and
            `confidence`, or the `value`. And a row a request that was refused, whose `type` is "refusal", with its
            `kind`.
        features: Values of inputs (N,) float32, by source and name. Neither their order nor that of other names says
            which of them belong together.
        inputs: A row an item whose raw values were recorded: `source`, `id`, `time`, `dtype`, `shape`, `data`.
    """

    rows: pd.DataFrame
    features: dict[str, dict[str, np.ndarray]]
    inputs: pd.DataFrame


def read(folder: Path, since: float | None = None, until: float | None = None) -> Traffic:
    """What was recorded from `since` on and before `until`, in seconds since 1970; None for no bound.

    Servers may write meanwhile, and files may be packed or removed. Features belong to the time of the latest item of
    their group.
    """
    found: dict[str, list[pa.Table]] = {name: [schema.empty_table()] for name, schema in SCHEMAS.items()}
    for hour in _hours(folder):
        if since is not None and not may_have(hour, since):
            continue
        if until is not None and _seconds(hour) - HOUR_SECONDS > until:
            break
        for name, table in _of_hour(folder, hour):
            found[name].append(_within(table, TIMES[name], since, until))
    tables = {name: pa.concat_tables(parts) for name, parts in found.items()}
    return Traffic(tables["rows"].to_pandas(), _by_source(tables["features"]), tables["inputs"].to_pandas())


def may_have(name: str, since: float) -> bool:
    """Whether the folder or file of that name may have something of an hour from `since` on, in seconds since 1970:
    what came later was written later."""
    return _is_of_hour(name) and _seconds(name[:13]) + HOUR_SECONDS >= since


def compact(folder: Path) -> list[str]:
    """Packs the hours that are over; gives them.

    Where this is killed, nothing is lost and nothing counts twice. Files of later code, which this one cannot read, are
    left as they are.
    """
    with FileLock(folder / LOCK):
        for rest in folder.glob(".*.tmp"):  # of one that was killed
            rest.unlink()
        now = time.time()
        over = [hour for hour in _hours(folder) if hour < time.strftime(HOUR_FORMAT, time.gmtime(now))]
        return [hour for hour in over if _is_quiet(folder / hour, now) and _pack(folder, hour)]


def _hours(folder: Path) -> list[str]:
    """The hours of which there is anything, in their order."""
    return sorted({entry.name[:13] for entry in folder.iterdir() if _is_of_hour(entry.name)})


def _is_of_hour(name: str) -> bool:
    """Whether a name begins with an hour that there is: 2026-99-99T99 only looks like one."""
    if not HOUR.match(name):
        return False
    try:
        _seconds(name[:13])
    except ValueError:
        return False
    return True


def _seconds(hour: str) -> float:
    """When an hour began, since 1970."""
    return calendar.timegm(time.strptime(hour, HOUR_FORMAT))


def _of_hour(folder: Path, hour: str) -> list[tuple[str, pa.Table]]:
    """The tables of an hour. Where a file vanishes, what it had may stand in another one now, so all are read again."""
    for _ in range(ATTEMPTS):
        with contextlib.suppress(FileNotFoundError):
            return list(_read(folder, hour))
    return []


def _read(folder: Path, hour: str) -> Iterator[tuple[str, pa.Table]]:
    """
    Raises:
        FileNotFoundError: A file is gone.
    """
    packed, done = _packed(folder, hour)
    for path in packed:
        yield "rows", _table(path, "rows")
        for name in ("features", "inputs"):
            with contextlib.suppress(FileNotFoundError):  # the oldest files are removed one by one
                yield name, _table(_beside(path, name), name)
    for path in sorted((folder / hour).glob("*.jsonl")):
        if path.name not in done:
            try:
                yield from tables_of(path)
            except UnknownLineError:
                continue
            except FileNotFoundError:
                raise
            except OSError:
                left_out(path)
    if _packed(folder, hour)[0] != packed:
        raise FileNotFoundError(f"{hour} was packed meanwhile")


def _packed(folder: Path, hour: str) -> tuple[list[Path], set[str]]:
    """The files with packed rows of an hour, and the names of the files that they were made of."""
    matches = [PACKED.fullmatch(path.name) for path in sorted(folder.glob(f"{hour}*.parquet"))]
    packed, done = [], set()
    for path in (folder / match[0] for match in matches if match):
        try:
            done |= set(json.loads(pq.read_metadata(path).metadata[NAMES]))
            packed.append(path)
        except FileNotFoundError:
            raise
        except UNREADABLE:
            left_out(path)
    return packed, done


def _table(path: Path, name: str) -> pa.Table:
    """What a packed file has in the columns of that table; nothing where it is broken.

    Raises:
        FileNotFoundError: It is gone.
    """
    try:
        return pq.read_table(path).select(SCHEMAS[name].names).cast(SCHEMAS[name])
    except FileNotFoundError:
        raise
    except UNREADABLE:
        left_out(path)
        return SCHEMAS[name].empty_table()


def _beside(path: Path, name: str) -> Path:
    """The file with another table of the same hour."""
    return path if name == "rows" else path.with_name(f"{path.stem}.{name}.parquet")


def _within(table: pa.Table, column: str, since: float | None, until: float | None) -> pa.Table:
    if since is not None:
        table = table.filter(pc.field(column) >= since)
    return table if until is None else table.filter(pc.field(column) < until)


def _by_source(features: pa.Table) -> dict[str, dict[str, np.ndarray]]:
    frame = features.to_pandas()
    result: dict[str, dict[str, np.ndarray]] = {}
    for (source, name), values in frame.groupby(["source", "name"])["value"]:
        result.setdefault(source, {})[name] = values.to_numpy()
    return result


def _is_quiet(hour: Path, now: float) -> bool:
    """Whether there is a folder of lines, and nobody writes there any more."""
    changed = [0.0]
    for path in hour.glob("*.jsonl"):
        with contextlib.suppress(FileNotFoundError):
            changed.append(path.stat().st_mtime)
    return hour.is_dir() and max(changed) < now - QUIET_SECONDS


def _pack(folder: Path, hour: str) -> bool:
    """Packs an hour and removes its lines; whether there was anything to do."""
    _, done = _packed(folder, hour)
    files = sorted((folder / hour).glob("*.jsonl"))
    new = [path for path in files if path.name not in done]
    target, number = folder / f"{hour}.parquet", 0
    while target.exists():  # also one that cannot be read
        number += 1
        target = folder / f"{hour}-{number}.parquet"
    written = _write(target, new) if new else set()
    removed = [path for path in files if path.name in done | written]
    for path in removed:
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # there is something else in it
        (folder / hour).rmdir()
    return bool(removed)


def _write(target: Path, files: list[Path]) -> set[str]:
    """Writes what stands in these files to `target` and to the files beside it; gives the names of those that it could
    read. The last to be moved into place is `target`."""
    places = {name: _beside(target, name) for name in ("features", "inputs", "rows")}
    drafts = {name: draft_of(place) for name, place in places.items()}
    names = []
    with contextlib.ExitStack() as stack:
        writers = {name: stack.enter_context(pq.ParquetWriter(drafts[name], SCHEMAS[name])) for name in places}
        for path in files:
            try:
                tables = list(tables_of(path))
            except (UnknownLineError, OSError):  # of later code, or removed because it was the oldest
                continue
            for name in places:
                if parts := [table for of, table in tables if of == name]:
                    writers[name].write_table(pa.concat_tables(parts))
            names.append(path.name)
        writers["rows"].add_key_value_metadata({NAMES.decode(): json.dumps(names)})
    for name, place in places.items():
        if names:
            put(place)
        else:
            drafts[name].unlink()
    return set(names)
