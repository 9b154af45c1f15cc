"""Requests that a server gets sooner or later, by mistake or on purpose, and must refuse without harm."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from forms.item import Item

REFUSED = range(400, 500)
# What MLflow's own server answers before the model is asked, with a server error.
NOT_ANSWERED = range(400, 600)
LARGE_BYTES = 50_000_000
LONG_STRING = 500_000


@dataclass(frozen=True)
class HostileRequest:
    """A request to /invocations and the statuses that are right for it."""

    name: str
    body: bytes
    content_type: str | None = "application/json"
    statuses: range = REFUSED


def hostile_requests(item: list[Any], form: Item) -> Iterator[HostileRequest]:
    """One of each kind.

    Args:
        item: A good item, as nested lists of numbers.
        form: What it is, which knows what else can be wrong with one.
    """
    yield HostileRequest("wrong shape", _inputs([item, item], [item]))
    yield HostileRequest("ragged", _inputs(_with_first(item, [1, [2]])))
    yield HostileRequest("no items", _inputs())
    if not form.may_be_missing:
        yield HostileRequest("NaN", _inputs(_with_first(item, float("nan"))))
    yield HostileRequest("Infinity", _inputs(_with_first(item, float("inf"))))
    yield HostileRequest("number out of range", _inputs(_with_first(item, 10**400)))
    text = next(text for text in ("7", "77", "no word of any table") if text not in form.words)
    yield HostileRequest("string for a number", _inputs(_with_first(item, text)))
    yield HostileRequest("long string for a number", _inputs(_with_first(item, "7" * LONG_STRING)))
    yield HostileRequest("many items", b'{"inputs": [' + b"0," * 100_000 + b"0]}")
    yield HostileRequest("null for an item", _inputs(None))
    yield HostileRequest("object for an item", _inputs({"image": item}))
    yield HostileRequest("text for the list", b'{"inputs": "seven"}')
    yield HostileRequest("not base64", _inputs("seven!"))
    for name, data in form.hostile(np.asarray(item)):
        yield HostileRequest(name, _inputs(base64.b64encode(data).decode()))
    yield HostileRequest("another field", json.dumps({"image": item}).encode())
    yield HostileRequest("a list", json.dumps([item]).encode())
    yield HostileRequest("truncated JSON", _inputs(item)[:-5])
    yield HostileRequest("not UTF-8", b'{"inputs": ["\xff\xfe"]}')
    yield HostileRequest("empty body", b"")
    yield HostileRequest("1,000-fold nesting", b'{"inputs": ' + b"[" * 1000 + b"]" * 1000 + b"}", statuses=NOT_ANSWERED)
    yield HostileRequest("500-fold nesting", b'{"inputs": ' + b"[" * 500 + b"]" * 500 + b"}", statuses=NOT_ANSWERED)
    yield HostileRequest("table", b"no such column,nor this one\nseven,eight\n", "text/csv")
    yield HostileRequest("wrong media type", _inputs(item), "text/plain")
    yield HostileRequest("no media type", _inputs(item), None, NOT_ANSWERED)
    yield HostileRequest("50 MB", b'{"inputs": ["' + b"A" * LARGE_BYTES + b'"]}')


def _inputs(*items: Any) -> bytes:
    return json.dumps({"inputs": items}).encode()


def _with_first(item: list[Any], value: Any) -> list[Any]:
    """A copy of the item with its first number replaced."""
    changed = copy.deepcopy(item)
    inner = changed
    while isinstance(inner[0], list):
        inner = inner[0]
    inner[0] = value
    return changed
