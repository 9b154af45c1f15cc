"""Requests that are refused must not be good ones by chance."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pandas as pd
import pytest

from forms.items.photograph import Photograph
from forms.items.values import Values
from served.refusal import Refused
from served.values import Rows
from served.values import Values as Numbers
from serving.hostile import hostile_requests

FLOAT = np.dtype(np.float32)


@pytest.mark.parametrize("shape", [(10,), (40,), (5,), (28, 28)], ids=str)
def test_no_bytes_are_by_chance_as_many_as_an_item_has(shape: tuple[int, ...]) -> None:
    item = np.zeros(shape).tolist()
    named = {request.name: request.body for request in hostile_requests(item, Photograph())}
    for name in ("broken image", "bytes of the wrong size"):
        (text,) = json.loads(named[name])["inputs"]
        assert len(base64.b64decode(text)) not in (np.size(item), 4 * np.size(item))  # of uint8, of float32


@pytest.mark.parametrize("reader", [Rows((2,), FLOAT, ["a", "b"], missing=[0.0, 0.0]), Numbers((2,), FLOAT)])
def test_no_table_is_by_chance_one_that_a_model_takes(reader: Numbers) -> None:
    (body,) = (request.body for request in hostile_requests([1, 2], Values()) if request.content_type == "text/csv")
    with pytest.raises(Refused):
        reader.batches(reader.listed(pd.read_csv(io.BytesIO(body))))


def test_a_form_adds_what_is_hostile_to_it_alone() -> None:
    pictures, values = (
        {request.name for request in hostile_requests([[0, 1], [2, 3]], form)} for form in (Photograph(), Values())
    )
    assert pictures - values == {"broken image", "decompression bomb"}
    assert values < pictures
