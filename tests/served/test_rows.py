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
from served.refusal import Refused
from served.values import Rows

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
        [{"age": 40, "colour": "white"}, {"colour": "", "age": None}],
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
        ([["red", "red"]], "expected a number for 'age'"),
        ([[True, "red"]], "expected a number for 'age'"),
        ([[40, 2]], "expected 'colour' to be one of"),
        ([[40, 0.5]], "expected 'colour' to be one of"),
        ([{"age": 40, "colour": 1}], "expected 'colour' to be one of"),
        ([{"colour": "red"}], "received none for 'age'. A value that is missing is null"),
        (pd.DataFrame({"AGE": [40], "colour": ["red"]}), "received none for 'age'"),
        (pd.DataFrame({"colour": ["red"]}), "received none for 'age'"),
        ({"age": [40, 41], "colour": "red"}, "expected columns of one length"),
        ({"age": [40, 41], "colour": ["red"]}, "expected columns of one length"),
        (pd.DataFrame([[40, "red", 41]], columns=["age", "colour", "age"]), "expected columns of different names"),
        ([[40]], r"expected an item of shape \(2,\), received \(1,\)"),
        ([{"size": 1}], "expected the columns of the table, received none for 'age' and 1 more columns"),
        ([[[40], "red"]], "received a ragged list"),
    ],
)
def test_other_words_are_refused(model: OnnxModel, given: Any, message: str) -> None:
    with pytest.raises(MlflowException, match=message):
        model.predict(None, given)


def test_words_may_look_like_numbers_or_truth() -> None:
    rows = Rows((2,), np.dtype(np.float32), ["grade", "sold"], [["1", "2", "3"], ["False", "True"]], [0, 0])
    named = [{"grade": 2, "sold": True}, {"grade": "2", "sold": "True"}, {"grade": 2.0, "sold": None}]
    expected = [[1, 1], [1, 1], [1, 0]]
    np.testing.assert_array_equal(rows.batches(rows.listed(named))[0], expected)
    np.testing.assert_array_equal(rows.batches(rows.listed(pd.DataFrame(named)))[0], expected)
    np.testing.assert_array_equal(rows.batches([[1, True], [1.0, 1], ["2", None]])[0], expected)  # numbers are places
    for wrong in (4, 1.5, 10**400, float("inf"), [2]):
        with pytest.raises(Refused, match="expected 'grade' to be one of '1', '2', '3'"):
            rows.batches(rows.listed([{"grade": wrong, "sold": True}]))
    missing = pd.DataFrame({"grade": pd.array([2, None], "Int64"), "sold": pd.array([True, None], "boolean")})
    np.testing.assert_array_equal(rows.batches(rows.listed(missing))[0], [[1, 1], [0, 0]])
    form = Row(("grade", "sold"), (0, 0), (("1", "2", "3"), ("False", "True")), (0, 0))
    assert form.numbers({"grade": 2, "sold": True}, (2,)).tolist() == ["2", "True"]


def test_a_table_of_one_column_of_words_is_no_list_of_files() -> None:
    rows = Rows((1,), np.dtype(np.float32), ["town"], [["Bonn", "Köln"]])
    np.testing.assert_array_equal(rows.batches(rows.listed(pd.DataFrame({"town": ["Köln", "Bonn"]})))[0], [[1], [0]])


def test_where_nothing_may_be_missing_that_is_refused() -> None:
    row = Row(("age", "colour"), (40, 1), choices=((), ("red", "white")))
    with pytest.raises(ItemError, match="There is no value for 'age'"):
        row.numbers({"colour": "red"}, (2,))
    with pytest.raises(ItemError, match=r"There is no value for 'age'\. One that is missing is null\."):
        ROW.numbers({"colour": "red"}, (2,))
    assert ROW.numbers({"colour": "red", "age": None}, (2,)).tolist() == [None, "red"]


def test_words_are_shown_as_words() -> None:
    assert ROW.shown == {"age": 40, "colour": "white"}
    assert ROW.body == """'{"inputs": [{"age": 40, "colour": "white"}]}'"""
    properties = ROW.schema((2,), "float32")["oneOf"][0]["properties"]
    assert properties["colour"] == {"oneOf": [{"type": "string", "enum": ["red", "white"]}, {"type": "null"}]}
