"""The lines of a record of traffic, as served/record_lines.py writes them, as tables."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

NUMBER, TEXT = pa.float64(), pa.string()
SCHEMAS = {
    # A row an item that was answered, and a request that was refused. In a model with several outputs a row for each.
    "rows": pa.schema(
        {
            "source": TEXT,
            "type": TEXT,
            "id": TEXT,
            "time": NUMBER,
            "seconds": NUMBER,
            "output": TEXT,
            "label": pa.int32(),
            "confidence": pa.float32(),
            "value": pa.float32(),
            "kind": TEXT,
        }
    ),
    # A row a value; rows say nothing of which values belong to one item. The times are those of a whole group.
    "features": pa.schema({"source": TEXT, "earliest": NUMBER, "latest": NUMBER, "name": TEXT, "value": pa.float32()}),
    # A row an item, whose raw values are little-endian and in C order.
    "inputs": pa.schema(
        {
            "source": TEXT,
            "id": TEXT,
            "time": NUMBER,
            "dtype": TEXT,
            "shape": pa.list_(pa.int32()),
            "data": pa.binary(),
        }
    ),
}
TIMES = {"rows": "time", "features": "latest", "inputs": "time"}  # by which a row is in a span of time or not
TABLES = {"prediction": "rows", "refusal": "rows", "features": "features", "input": "inputs"}


class UnknownLineError(Exception):
    """A line is of a type that this code does not know: later code wrote it."""


def tables_of(path: Path) -> Iterator[tuple[str, pa.Table]]:
    """What stands in the lines of a file, each with the name of its table. A line that is cut off or broken is left
    out, and so is what a line has besides the columns that are known.

    Raises:
        FileNotFoundError: The file is gone.
        UnknownLineError: A line is of another type.
    """
    with path.open("rb") as file:
        for text in file:
            try:
                line = json.loads(text)
                kind = line["type"]
            except (ValueError, KeyError, TypeError):
                continue
            if kind not in TABLES:
                raise UnknownLineError(f"{path} has lines of the type {kind!r}")
            table = TABLES[kind]
            try:
                yield table, MAKERS[table](line)
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError):  # pyarrow's are among them
                continue


def _items(line: dict[str, Any], schema: pa.Schema) -> pa.Table:
    """A row an item, from columns and from values that hold for all items of the line.

    Raises:
        ValueError: It does not say who answered.
    """
    if not isinstance(line["source"], str):
        raise ValueError("a line without a source")
    size = len(line["id"])
    columns = {name: line.get(name) for name in schema.names}
    return pa.table(
        {name: column if isinstance(column, list) else [column] * size for name, column in columns.items()}, schema
    )


def _rows(line: dict[str, Any]) -> pa.Table:
    return _items({"output": ""} | line, SCHEMAS["rows"])


def _inputs(line: dict[str, Any]) -> pa.Table:
    return _items(line | {"data": [base64.b64decode(one, validate=True) for one in line["data"]]}, SCHEMAS["inputs"])


def _features(line: dict[str, Any]) -> pa.Table:
    columns = line["features"]
    names = [name for name, values in columns.items() for _ in values]
    values = [value for values in columns.values() for value in values]
    earliest, latest = line["time"]
    same = {"source": line["source"], "earliest": earliest, "latest": latest}
    repeated = {name: [value] * len(values) for name, value in same.items()}
    return pa.table({**repeated, "name": names, "value": values}, SCHEMAS["features"])


MAKERS: dict[str, Callable[[dict[str, Any]], pa.Table]] = {"rows": _rows, "features": _features, "inputs": _inputs}
