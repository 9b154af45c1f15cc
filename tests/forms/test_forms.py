"""What every form has to have, and what nobody else may ask."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from forms import answer, answers, item, items
from forms.answer import Answer
from forms.answers.labels import Labels
from forms.answers.mask import Mask
from forms.answers.number import Number
from forms.answers.picture import Picture
from forms.answers.several import Several
from forms.form import UnknownFormError, names
from forms.item import Item, ItemError
from forms.items.ink import Ink
from forms.items.photograph import CORNER, Photograph
from forms.items.row import Row
from forms.items.values import Values
from forms.items.volume import Volume
from forms.outputs import each
from forms.pictures import pixels
from tests.conftest import ROOT

NAMES = {*names(items), *names(answers)}
PAGE = ROOT / "serving/gateway/static"
MAY_KNOW_THEM = ("forms", "tasks", "tests")
ENDINGS = (".py", ".js", ".css", ".html")
LABELS = Labels(("cat", "dog", "eel"))
MASK = Mask(("ground", "cell"))
CELLS = Mask(("ground", "cells"), objects=True)
BOTH = Several({"animal": LABELS, "weight": Number("kg")})
ANSWERS = (LABELS, MASK, CELLS, Picture(), Number("kg"), Number(interval=0.5), BOTH)
ROW = Row(("age", "bmi"), (52, 24.5))
WORDS = Row(("age", "colour"), (52, 1), choices=((), ("red", "white")), missing=(50, 0))


@pytest.mark.parametrize("package", [items, answers], ids=lambda package: str(package.__name__))
def test_every_form_has_a_module_and_a_script(package: Any) -> None:
    kind = package.__name__.split(".")[1]
    scripts = {path.stem for path in (PAGE / "forms" / kind).glob("*.js")}
    assert scripts == set(names(package))
    for name in names(package):
        form = import_module(f"{package.__name__}.{name}").FORM
        assert issubclass(form, Item if kind == "items" else Answer)
        assert form.__module__.endswith(f".{name}")


@pytest.mark.parametrize(
    "form",
    [Values(), ROW, WORDS, Ink(16, 0.7), Photograph(), Photograph(any_size=True), Volume("float32"), *ANSWERS],
    ids=lambda form: str(form.name),
)
def test_metadata_make_the_same_form_again(form: Item | Answer) -> None:
    metadata = yaml.safe_load(yaml.safe_dump(json.loads(json.dumps(form.metadata()))))
    read = item.read if isinstance(form, Item) else answer.read
    assert read(metadata) == form
    assert read(metadata | {"field of later code": 1}) == form


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"form": "sound"}, "the form 'sound' is not one of labels, mask, number, picture, several"),
        ({"form": "labels.os"}, "the form 'labels.os' is not one of"),
        ({}, "the form None is not one of"),
        ({"form": "labels"}, "the form 'labels' lacks a value: .*'labels'"),
        ({"form": "several"}, "the form 'several' lacks a value: 'answers'"),
        ({"form": "several", "answers": {"a": {"form": "sound"}}}, "the form 'sound' is not one of"),
    ],
)
def test_metadata_of_no_form_are_told(metadata: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownFormError, match=message):
        answer.read(metadata)


def test_metadata_that_contradict_themselves_are_told() -> None:
    with pytest.raises(UnknownFormError, match="the form 'row' lacks a value: Expected 2 columns"):
        item.read({"form": "row", "columns": ["a", "b"], "example": [1]})


def test_values_are_sent_as_numbers_and_as_bytes() -> None:
    inputs = np.arange(20, dtype=np.float32).reshape(2, 10)
    numbers, raw = Values().ways(inputs)
    assert numbers.sent == inputs.tolist()
    assert raw.sent[1] == "AAAgQQAAMEEAAEBBAABQQQAAYEEAAHBBAACAQQAAiEEAAJBBAACYQQ=="  # 10.0 to 19.0, little-endian
    assert not numbers.as_files
    with pytest.raises(ItemError, match="This model does not take files"):
        Values().file(b"", (10,))


def test_numbers_become_an_item_of_the_shape() -> None:
    assert Values().numbers([1, 2, 3, 4], (2, 2)).tolist() == [[1, 2], [3, 4]]
    assert Values().numbers([[1, 2], [3]], (2, 2)) == [[1, 2], [3]]  # nested: for the model to look at
    with pytest.raises(ItemError, match="Expected 4 numbers, received 3"):
        Values().numbers([1, 2, 3], (2, 2))


def test_a_row_comes_by_name_in_any_order_or_as_a_list() -> None:
    assert ROW.numbers({"bmi": 24.5, "age": 52}, (2,)).tolist() == [52, 24.5]
    assert ROW.numbers([52, 24.5], (2,)).tolist() == [52, 24.5]


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({"age": 52, "bmi": 1, "b'mi": 1}, """There is no column "b'mi". Expected 'age', 'bmi'."""),
        ({"age": 52}, "There is no value for 'bmi'."),
        ([1, 2, 3], "Expected 2 numbers, received 3."),
        ("52", 'Expected a JSON object with the values of a row: {"row": {"age": 52, ...}}.'),
    ],
)
def test_a_row_that_is_none_is_told(sent: Any, message: str) -> None:
    with pytest.raises(ItemError) as caught:
        ROW.numbers(sent, (2,))
    assert str(caught.value) == message


def test_a_row_has_a_name_and_an_example_for_each_column() -> None:
    for columns, example in ((("a", "a"), (1, 2)), (("a", "b"), (1,))):
        with pytest.raises(ValueError, match="columns of different names and a value for each"):
            Row(columns, example)


@pytest.mark.parametrize(
    ("dtype", "number"),
    [("uint8", {"type": "integer", "minimum": 0, "maximum": 255}), ("float32", {"type": "number"})],
)
def test_the_description_of_numbers_says_how_many_and_which(dtype: str, number: dict[str, Any]) -> None:
    schema = Values().schema((2, 5), dtype)
    assert (schema["items"], schema["minItems"], schema["maxItems"]) == (number, 10, 10)
    assert set(Values().request_schema()["content"]) == {"application/json"}
    assert set(Ink().request_schema()["content"]) == {"application/json", "multipart/form-data"}


def test_photographs_of_any_size_are_sent_as_corners_and_as_files() -> None:
    inputs = np.random.default_rng(1).integers(0, 256, (2, 100, 90, 3), np.uint8)
    form = Photograph(any_size=True)
    corners, files = form.ways(inputs)
    assert np.shape(corners.sent) == (2, CORNER, CORNER, 3)
    np.testing.assert_array_equal([pixels(one) for one in files.sent], inputs)
    assert (form.shape(inputs), form.size((None, None, 3))) == ((None, None, 3), "height×width×3")
    assert (Photograph().shape(inputs), Photograph().size((9, 9))) == ((100, 90, 3), "9×9")


def test_labels_name_the_likeliest_and_all_probabilities() -> None:
    served = np.array([0.2, 0.5, 0.3], np.float32)
    assert LABELS.reply(served) == {"prediction": 1, "probabilities": [served.tolist()]}
    np.testing.assert_array_equal(LABELS.perfect(np.array([2, 0])), [[0, 0, 1], [1, 0, 0]])


def test_a_mask_has_the_likeliest_class_of_each_pixel_and_the_shares() -> None:
    served = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.6, 0.4], [0.7, 0.3]]], np.float32)
    reply = MASK.reply(served)
    np.testing.assert_array_equal(pixels(reply["mask"]), [[0, 1], [0, 0]])
    assert reply["shares"] == {"ground": 0.75, "cell": 0.25}
    np.testing.assert_array_equal(MASK.perfect(np.array([[[0, 1]]])), [[[[1, 0], [0, 1]]]])


def test_a_mask_may_tell_how_many_objects_there_are() -> None:
    found = np.zeros((9, 9), int)
    found[1:3, 1:3] = found[6:, 5:8] = 1
    reply = CELLS.reply(np.eye(2, dtype=np.float32)[found])
    assert reply["objects"] == 2
    assert CELLS.reply(np.eye(2, dtype=np.float32)[0 * found])["objects"] == 0
    assert set(CELLS.schema()["required"]) == set(CELLS.schema()["properties"]) == set(reply)
    assert "objects" not in MASK.reply(np.eye(2, dtype=np.float32)[found])
    np.testing.assert_array_equal(CELLS.perfect(np.array([[[0, 7, 2]]])), [[[[1, 0], [0, 1], [0, 1]]]])
    with pytest.raises(ValueError, match="a background and one class of objects"):
        Mask(("ground", "a", "b"), objects=True)


def test_a_picture_is_rounded_and_sent_as_a_file_where_one_came() -> None:
    served = Picture().served(np.array([[[[-3.0, 1.5, 300.0]]]]))
    assert served.tolist() == [[[[0, 2, 255]]]]
    assert Picture().sent(served, as_files=False) == served.tolist()
    np.testing.assert_array_equal(pixels(Picture().sent(served, as_files=True)[0]), served[0])
    np.testing.assert_array_equal(pixels(Picture().reply(served[0])["picture"]), served[0])


def test_a_number_has_its_unit_and_a_tolerance_in_proportion() -> None:
    form = Number("kg")
    assert form.reply(np.array([207.5], np.float32)) == {"value": 207.5, "unit": "kg"}
    assert form.tolerance(np.array([[0.1]])) == 1e-4
    assert form.tolerance(np.array([[-5000.0], [3.0]])) == pytest.approx(0.5)
    np.testing.assert_array_equal(form.perfect(np.array([1, 2])), [[1], [2]])


def test_a_number_may_have_an_interval() -> None:
    form = Number("kg", interval=0.9)
    expected = {"value": 3.0, "unit": "kg", "low": 1.0, "high": 7.5, "interval": 0.9}
    assert form.reply(np.array([3, 1, 7.5], np.float32)) == expected
    assert set(form.schema()["required"]) == set(expected)
    np.testing.assert_array_equal(form.perfect(np.array([1, 2])), [[1, 1, 1], [2, 2, 2]])
    value, low, high = form.likely(np.zeros((9, 2)), np.random.default_rng(1)).T
    assert (low <= value).all()
    assert (value <= high).all()
    for interval in (0, 1, 90):
        with pytest.raises(ValueError, match="interval above 0 and below 1"):
            Number(interval=interval)


def test_labels_agree_where_the_likeliest_is_the_same() -> None:
    served = np.array([0.2, 0.5, 0.3], np.float32)
    assert LABELS.agrees(served, np.array([0.0, 0.9, 0.1], np.float32))
    assert not LABELS.agrees(served, np.array([0.0, 0.4, 0.6], np.float32))
    assert not LABELS.agrees(served, np.array([0.1, 0.9], np.float32))


def test_masks_agree_where_nearly_all_pixels_do() -> None:
    served = np.zeros((10, 10, 2), np.float32)
    served[..., 0] = 1
    for changed, agrees in ((0, True), (5, True), (6, False)):
        other = served.copy()
        other.reshape(100, 2)[:changed] = [0.25, 0.75]
        assert MASK.agrees(served, other) == agrees
    assert not MASK.agrees(served, served[:5])


def test_pictures_agree_where_they_look_the_same() -> None:
    served = np.full((4, 5, 3), 100, np.uint8)
    assert Picture().agrees(served, served + np.uint8(8))
    assert not Picture().agrees(served, served - np.uint8(9))
    assert not Picture().agrees(served, served[:3])


@pytest.mark.parametrize(
    ("served", "other", "agrees"),
    [(100.0, 95.0, True), (95.0, 100.0, True), (100.0, 94.9, False), (0.0, 0.0, True), (-20.0, 20.0, False)],
)
def test_numbers_agree_within_a_twentieth(served: float, other: float, agrees: bool) -> None:
    assert Number("kg").agrees(np.array([served], np.float32), np.array([other], np.float32)) == agrees


def test_numbers_with_an_interval_agree_where_each_lies_in_the_others() -> None:
    form, served = Number("kg", interval=0.9), np.array([3, 1, 7], np.float32)
    assert form.agrees(served, np.array([6, 2, 8], np.float32))
    assert not form.agrees(served, np.array([6, 5, 8], np.float32))
    assert not form.agrees(served, np.array([8, 2, 9], np.float32))
    assert not form.agrees(served, np.array([3], np.float32))


def test_several_agree_where_all_do() -> None:
    served = {"animal": np.array([0.2, 0.5, 0.3], np.float32), "weight": np.array([3000.0], np.float32)}
    assert BOTH.agrees(served, served | {"weight": np.array([2900.0], np.float32)})
    assert not BOTH.agrees(served, served | {"weight": np.array([2000.0], np.float32)})


@pytest.mark.parametrize("form", ANSWERS, ids=lambda form: str(form.name))
def test_every_answer_agrees_with_itself(form: Answer) -> None:
    served = form.likely(np.zeros((3, 6, 5, 3), np.uint8), np.random.default_rng(1))
    for place in range(3):
        one = each(lambda values, place=place: values[place], served)
        assert form.agrees(one, one)


def comparisons(path: Path) -> Iterator[str]:
    """The names of forms that a file compares something with."""
    text = path.read_text(encoding="utf-8")
    alternatives = "|".join(sorted(NAMES))
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            values = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
            values += [node.value] if isinstance(node, ast.MatchValue) else []
            for value in values:
                inner = value.elts if isinstance(value, ast.Tuple | ast.List | ast.Set) else [value]
                yield from (one.value for one in inner if isinstance(one, ast.Constant) and one.value in NAMES)
    elif path.suffix == ".js":
        yield from re.findall(rf"(?:[=!]==?|case)\s*[\"'`]({alternatives})[\"'`]", text)
        yield from re.findall(rf"[\"'`]({alternatives})[\"'`]\s*[=!]==?", text)
    else:
        yield from re.findall(rf"\[data-[\w-]+[~|^$*]?=[\"']?({alternatives})\b", text)


def test_nobody_else_asks_which_form_it_is() -> None:
    rooms = [path for path in ROOT.iterdir() if path.is_dir() and path.name not in MAY_KNOW_THEM]
    files = [path for room in rooms if not room.name.startswith(".") for path in room.rglob("*")]
    others = [path for path in files if path.suffix in ENDINGS and not path.is_relative_to(PAGE / "forms")]
    assert len(others) > 50
    assert {f"{path.relative_to(ROOT)}: {name}" for path in others for name in comparisons(path)} == set()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("a.py", 'x = kind == "labels"'),
        ("a.py", 'if kind in ("ink", "os"): pass'),
        ("a.py", 'match kind:\n    case "number": pass'),
        ("a.js", 'if (model.kind === "picture") go();'),
        ("a.js", "if ('ink' !== kind) go();"),
        ("a.js", 'switch (kind) { case "photograph": go(); }'),
        ("a.css", '[data-kind="picture"] { color: red; }'),
    ],
)
def test_such_a_question_is_found(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).write_text(text)
    assert len(list(comparisons(tmp_path / file))) == 1


def test_several_answers_are_each_as_its_form_has_it() -> None:
    served = {"animal": np.array([[0.2, 0.5, 0.3]], np.float32), "weight": np.array([[3000.0]], np.float32)}
    assert BOTH.reply({name: one[0] for name, one in served.items()}) == {
        "answers": {
            "animal": {"prediction": 1, "probabilities": [served["animal"][0].tolist()]},
            "weight": {"value": 3000.0, "unit": "kg"},
        }
    }
    assert BOTH.tolerance(served) == {"animal": 1e-4, "weight": pytest.approx(0.3)}
    assert BOTH.counted == {"animal": ["cat", "dog", "eel"]}
    assert BOTH.sent(served, as_files=False) == {name: one.tolist() for name, one in served.items()}
    perfect = BOTH.perfect({"animal": np.array([2]), "weight": np.array([7])})
    assert {name: one.tolist() for name, one in perfect.items()} == {"animal": [[0, 0, 1]], "weight": [[7]]}
    assert Several({"a": LABELS, "b": Picture()}).perfect({"a": np.array([0]), "b": np.zeros((1, 2, 2, 3))}) is None


@pytest.mark.parametrize(
    "answers", [{}, {"one": LABELS}, {"one": LABELS, "two": BOTH}, {"one": LABELS, "two": "three"}]
)
def test_several_are_two_or_more_of_one_answer_each(answers: Any) -> None:
    with pytest.raises(TypeError, match="Expected"):
        Several(answers)
