"""Rows of a table with words among their values, and with values missing."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from onnx import TensorProto, helper

from forms.item import ItemError
from forms.items.row import Row
from served.model import OnnxModel

ROW = Row(("age", "colour"), (40, 1), choices=((), ("red", "white")), missing=(50, 0))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    """Gives a row back as the network gets it."""
    folder = tmp_path_factory.mktemp("rows")
    (folder / "artifacts").mkdir()
    metadata = {"item": ROW.metadata(), "answer": {"writer": "numbers", "counted": {}}}
    (folder / "MLmodel").write_text(json.dumps({"metadata": metadata}))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "graph", ends[:1], ends[1:])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, folder / "artifacts" / "model.onnx")
    loaded = OnnxModel()
    context = SimpleNamespace(artifacts={"onnx": str(folder / "artifacts" / "model.onnx")}, model_config=None)
    loaded.load_context(context)
    return loaded


@pytest.mark.parametrize(
    "given",
    [
        [[40, "white"], [50, "red"]],
        [[40.0, 1], [None, None]],
        [{"age": 40, "colour": "white"}, {"colour": ""}],
        [np.array([40, "white"], object), np.array([None, "red"], object)],
        pd.DataFrame({"colour": ["white", None], "age": [40.0, np.nan], "more": [1, 2]}),
        pd.DataFrame({"age": [40.0, np.nan], "colour": pd.Categorical(["white", "red"])}),
        {"age": [40, None], "colour": ["white", "red"]},
        np.array([[40.0, 1.0], [np.nan, 0.0]]),
        np.array([[40, "white"], [50, "red"]], object),
    ],
    ids=["lists", "places", "objects", "arrays", "table", "categories", "columns", "array", "array of objects"],
)
def test_words_and_missing_values_become_numbers(model: OnnxModel, given: Any) -> None:
    np.testing.assert_array_equal(model.predict(None, given), [[40, 1], [50, 0]])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([[40, "green"]], "expected 'colour' to be one of 'red', 'white'"),
        ([["red", "red"]], "expected numbers only"),
        ([[40]], r"expected an item of shape \(2,\), received \(1,\)"),
        ([{"size": 1}], "expected columns of the table, of which 'age' is the first"),
        ([[[40], "red"]], "received a ragged list"),
    ],
)
def test_other_words_are_refused(model: OnnxModel, given: Any, message: str) -> None:
    with pytest.raises(MlflowException, match=message):
        model.predict(None, given)


def test_where_nothing_may_be_missing_that_is_refused() -> None:
    row = Row(("age", "colour"), (40, 1), choices=((), ("red", "white")))
    with pytest.raises(ItemError, match="There is no value for 'age'"):
        row.numbers({"colour": "red"}, (2,))
    assert ROW.numbers({"colour": "red"}, (2,)).tolist() == [None, "red"]


def test_words_are_shown_as_words() -> None:
    assert ROW.shown == {"age": 40, "colour": "white"}
    assert ROW.body == """'{"inputs": [{"age": 40, "colour": "white"}]}'"""
    properties = ROW.schema((2,), "float32")["oneOf"][0]["properties"]
    assert properties["colour"] == {"oneOf": [{"type": "string", "enum": ["red", "white"]}, {"type": "null"}]}
