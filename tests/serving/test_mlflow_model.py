"""A registered model is one as MLflow's own flavors are: whatever goes in there goes in here.

One table for a classifier, a regression and a picture, none of them trained: in Python, and what MLflow's scoring
server makes of every payload of its protocol.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import mlflow
import numpy as np
import pandas as pd
import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server as mlflow_server
from mlflow.types import ParamSchema

from serving.container import slim_server
from serving.package import package
from serving.server import scoring_server
from tasks.contract import Task, get_task
from tests.conftest import MakeOnce
from tests.toys import diabetes, negative

TASKS = {"digits": get_task("digits"), "diabetes": diabetes.TASK, "negative": negative.TASK}
COUNT = 12


class Logged(NamedTuple):
    """A model as it was logged, some items (COUNT, ...) and its answers."""

    path: Path
    model: Any
    items: np.ndarray
    answers: np.ndarray

    @property
    def table(self) -> pd.DataFrame:
        """The items as a table: a column a value, where items have one size, else one of items."""
        if self.items.ndim == 4:
            return pd.DataFrame({"picture": list(self.items)})
        names = diabetes.TASK.item.names if self.items.ndim == 2 else None
        return pd.DataFrame(self.items.reshape(COUNT, -1), columns=names)


@pytest.fixture(params=TASKS)
def logged(request: pytest.FixtureRequest, made_once: MakeOnce) -> Logged:
    """An untrained model. Not to be changed."""
    return load(TASKS[request.param], made_once)


def load(task: Task, made_once: MakeOnce, **config: Any) -> Logged:
    def fill(folder: Path) -> None:
        keras.utils.set_random_seed(1)
        model = task.build(task.shrunk(task.configure()))
        package(task, model, task.load("validation"), folder).save_model(folder / "model")

    path = made_once(f"mlflow_{task.name}", fill) / "model"
    model = mlflow.pyfunc.load_model(str(path), model_config=config or None)
    items = task.load("validation").inputs[:COUNT]
    return Logged(path, model, items, np.asarray(model.predict(list(items))))


def as_object(items: np.ndarray) -> np.ndarray:
    made = np.empty(len(items), object)
    made[:] = list(items)
    return made


IN_PYTHON: dict[str, Callable[[Logged], Any]] = {
    "array": lambda it: it.items,
    "array of floats": lambda it: it.items.astype(np.float64),
    "array of arrays": lambda it: as_object(it.items),
    "nested lists": lambda it: it.items.tolist(),
    "list of arrays": lambda it: list(it.items),
    "tuple": lambda it: tuple(it.items),
    "series": lambda it: pd.Series(list(it.items)),
    "table": lambda it: it.table,
    "table of items": lambda it: pd.DataFrame({"item": list(it.items)}),
    "raw bytes": lambda it: [base64.b64encode(one.tobytes()).decode() for one in it.items],
}


@pytest.mark.parametrize("passed", IN_PYTHON)
def test_what_a_person_passes_in_python_is_answered(logged: Logged, passed: str) -> None:
    if passed == "raw bytes" and logged.items.ndim == 4:
        pytest.skip("of pictures of any size, bytes do not say which")
    np.testing.assert_array_equal(np.asarray(logged.model.predict(IN_PYTHON[passed](logged))), logged.answers)


def payload(**fields: Any) -> tuple[bytes, str]:
    return json.dumps(fields).encode(), "application/json"


def parquet(table: pd.DataFrame) -> bytes:
    """A table as a file, the items in its cells as lists."""
    buffer = io.BytesIO()
    plain = {str(name): [np.asarray(cell).tolist() for cell in table[name]] for name in table}
    pd.DataFrame(plain).to_parquet(buffer)
    return buffer.getvalue()


def as_lists(table: pd.DataFrame) -> pd.DataFrame:
    return table.map(lambda cell: np.asarray(cell).tolist())


OVER_HTTP: dict[str, Callable[[Logged], tuple[bytes, str]]] = {
    "inputs": lambda it: payload(inputs=it.items.tolist()),
    "instances": lambda it: payload(instances=it.items.tolist()),
    "dataframe_split": lambda it: payload(dataframe_split=as_lists(it.table).to_dict(orient="split")),
    "dataframe_records": lambda it: payload(dataframe_records=as_lists(it.table).to_dict(orient="records")),
    "csv": lambda it: (it.table.to_csv(index=False).encode(), "text/csv"),
    "parquet": lambda it: (parquet(it.table), "application/vnd.apache.parquet"),
}


def served(logged: Logged, body: bytes, content_type: str) -> np.ndarray:
    """What MLflow's scoring server answers."""
    schema = logged.model.metadata.get_input_schema()
    reply = mlflow_server.invocations(body, content_type, logged.model, schema)  # type: ignore[no-untyped-call]
    return plain(json.loads(reply.response)["predictions"])


def plain(predictions: list[Any]) -> np.ndarray:
    """Answers without the names that those to a table have."""
    return np.array([list(one.values()) if isinstance(one, dict) else one for one in predictions])


@pytest.mark.parametrize("sent", OVER_HTTP)
def test_every_payload_of_the_protocol_is_answered(logged: Logged, sent: str) -> None:
    if sent == "csv" and logged.items.ndim == 4:
        pytest.skip("a cell of CSV holds no picture")
    np.testing.assert_allclose(served(logged, *OVER_HTTP[sent](logged)), logged.answers, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("server", [scoring_server, slim_server])
def test_a_server_answers_every_payload(logged: Logged, server: Callable[[Path], Any]) -> None:
    with server(logged.path) as port:
        for name, made in OVER_HTTP.items():
            if name == "csv" and logged.items.ndim == 4:
                continue
            body, content_type = made(logged)
            headers = {"Content-Type": content_type}
            reply = requests.post(f"http://127.0.0.1:{port}/invocations", body, headers=headers, timeout=30)
            if (server, name) == (slim_server, "parquet"):
                assert reply.status_code == 415
            else:
                np.testing.assert_allclose(plain(reply.json()["predictions"]), logged.answers, rtol=1e-6)


def test_signature_and_example_say_what_goes_in_and_comes_out(logged: Logged) -> None:
    example = logged.model.input_example
    assert len(logged.model.predict(example)) == len(example) == 1
    expected = {
        (COUNT, 8, 8): ([("uint8", (-1, 8, 8))], [("float32", (-1, 10))], ["labels"]),
        (COUNT, 10): ([("double", name) for name in diabetes.TASK.item.names], [("float32", (-1, 3))], []),
        (COUNT, 64, 64, 3): ([("uint8", (-1, -1, -1, 3))], [("uint8", (-1, -1, -1, 3))], []),
    }
    signature = logged.model.metadata.signature
    assert (specs(signature.inputs), specs(signature.outputs), names(signature.params)) == expected[logged.items.shape]


def specs(schema: Any) -> list[tuple[str, Any]]:
    return [(spec.type.name, spec.shape if schema.is_tensor_spec() else spec.name) for spec in schema.inputs]


def names(params: ParamSchema | None) -> list[str]:
    return [one.name for one in params.params] if params else []


def test_it_is_a_keras_and_an_onnx_model_too(logged: Logged) -> None:
    outputs = mlflow.keras.load_model(str(logged.path)).predict(logged.items, verbose=0)
    (graph,) = mlflow.onnx.load_model(str(logged.path)).graph.input
    if logged.answers.dtype == np.uint8:  # rounded as it is answered
        outputs = np.rint(outputs).clip(0, 255)
    np.testing.assert_allclose(outputs, logged.answers, rtol=1e-4, atol=1e-4)
    assert len(graph.type.tensor_type.shape.dim) == logged.items.ndim


def test_labels_may_be_asked_for_in_place_of_probabilities(made_once: MakeOnce) -> None:
    labels = load(TASKS["digits"], made_once, labels=True)
    shares = load(TASKS["digits"], made_once)
    likeliest = shares.answers.argmax(axis=1)
    np.testing.assert_array_equal(labels.answers, likeliest)
    np.testing.assert_array_equal(shares.model.predict(shares.items, params={"labels": True}), likeliest)
    np.testing.assert_array_equal(labels.model.predict(shares.items, params={"labels": False}), shares.answers)
    sent = payload(inputs=shares.items.tolist(), params={"labels": True})
    np.testing.assert_array_equal(served(shares, *sent), likeliest)


def test_a_table_gets_a_table_with_names_for_what_an_answer_consists_of(made_once: MakeOnce) -> None:
    digits, diabetes_ = (load(TASKS[name], made_once) for name in ("digits", "diabetes"))
    table = diabetes_.table.set_index(pd.Index(range(100, 100 + COUNT)))
    answers = diabetes_.model.predict(table)
    assert list(answers.columns) == ["value", "low", "high"]
    assert answers.index.equals(table.index)
    assert list(digits.model.predict(digits.table).columns) == list("0123456789")


@pytest.mark.filterwarnings("ignore:.*ill-defined")  # it was not trained, and takes all for two or three digits
def test_mlflow_evaluates_a_classifier(made_once: MakeOnce, store: mlflow.MlflowClient) -> None:
    logged = load(TASKS["digits"], made_once)
    targets = TASKS["digits"].load("validation").targets[:COUNT]
    result = mlflow.models.evaluate(  # type: ignore[no-untyped-call]
        str(logged.path),
        logged.table.assign(digit=targets),
        targets="digit",
        model_type="classifier",
        model_config={"labels": True},
        evaluator_config={"log_explainer": False},
    )
    right = (logged.answers.argmax(axis=1) == targets).mean()
    assert result.metrics["accuracy_score"] == pytest.approx(right)


def test_mlflow_evaluates_a_regression(made_once: MakeOnce, store: mlflow.MlflowClient) -> None:
    logged = load(TASKS["diabetes"], made_once)
    targets = TASKS["diabetes"].load("validation").targets[:COUNT]
    result = mlflow.models.evaluate(  # type: ignore[no-untyped-call]
        str(logged.path),
        logged.table.assign(progress=targets),
        targets="progress",
        model_type="regressor",
        predictions="value",
        evaluator_config={"log_explainer": False},
    )
    error = np.abs(logged.answers[:, 0] - targets).mean()
    assert result.metrics["mean_absolute_error"] == pytest.approx(error, rel=1e-5)


def test_mlflow_evaluates_pictures_by_a_metric_of_ones_own(made_once: MakeOnce, store: mlflow.MlflowClient) -> None:
    def mean_value(predictions: pd.Series, targets: pd.Series) -> float:
        return float(np.mean([np.mean(one) for one in predictions]))

    logged = load(TASKS["negative"], made_once)
    metric = mlflow.models.make_metric(eval_fn=mean_value, greater_is_better=True, name="mean_value")  # type: ignore[no-untyped-call]
    table = logged.table.assign(target=0)
    result = mlflow.models.evaluate(str(logged.path), table, targets="target", extra_metrics=[metric])  # type: ignore[no-untyped-call]
    assert result.metrics["mean_value"] == pytest.approx(logged.answers.mean())


def test_rows_are_told_apart_by_the_names_of_their_columns(made_once: MakeOnce) -> None:
    logged = load(TASKS["diabetes"], made_once)
    table = logged.table
    shuffled = table[table.columns[::-1]].assign(doctor="Who")
    for given in (shuffled, table.to_dict(orient="list"), table.to_dict(orient="records"), table.to_numpy()):
        np.testing.assert_array_equal(logged.model.predict(given), logged.answers)


@pytest.mark.parametrize(
    ("task", "given", "message"),
    [
        ("diabetes", pd.DataFrame({"age": [1.0]}), "received none for 'sex' and 8 more columns"),
        ("diabetes", [{"age": 1.0}], "received none for 'sex' and 8 more columns"),
        ("diabetes", {"age": [1.0, 2.0], "sex": [1.0]}, "received none for 'bmi' and 7 more columns"),
        ("diabetes", pd.DataFrame([[1.0] * 9]), "expected 10 columns, one a value, or one column of items, received 9"),
        ("digits", pd.DataFrame([[1] * 63]), "expected 64 columns, one a value, or one column of items, received 63"),
        ("digits", pd.DataFrame([["a"] * 64]), "expected numbers only"),
        ("digits", pd.DataFrame(), "received 0 columns"),
        ("digits", np.zeros((3, 64)), r"expected an item of shape \(8, 8\), received \(64,\)"),
        ("digits", np.zeros((8, 8)), r"expected an item of shape \(8, 8\), received \(8,\)"),
        ("digits", np.full((1, 8, 8), 0.5), "expected whole numbers from 0 to 255"),
        ("digits", np.full((1, 8, 8), 300), "expected whole numbers from 0 to 255"),
        ("digits", np.zeros((1, 8, 8), complex), "expected numbers only"),
        ("digits", np.zeros((0, 8, 8)), "expected at least one item"),
        ("digits", np.float64(1), "expected a list of items, received float64"),
        ("digits", {"a": [1]}, "expected a list of items, received dict"),
        ("negative", pd.DataFrame([[1, 2]]), "expected one column of items, received 2 columns"),
    ],
)
def test_what_is_no_item_is_refused_in_one_line(made_once: MakeOnce, task: str, given: Any, message: str) -> None:
    logged = load(TASKS[task], made_once)
    with pytest.raises(MlflowException, match=message) as caught:
        logged.model.predict(given)
    assert caught.value.error_code == "BAD_REQUEST"
    assert "\n" not in caught.value.message


def test_ten_thousand_items_at_once(made_once: MakeOnce) -> None:
    logged = load(TASKS["digits"], made_once)
    many = np.repeat(logged.items, 1_000, axis=0)
    assert logged.model.predict(many).shape == (len(many), 10)


@pytest.mark.slow
def test_mlflow_predicts_in_a_process_of_its_own(logged: Logged, tmp_path: Path) -> None:
    """As `mlflow models predict` does."""
    sent, answered = tmp_path / "sent.json", tmp_path / "answered.json"
    sent.write_bytes(OVER_HTTP["dataframe_split"](logged)[0])
    mlflow.models.predict(  # type: ignore[no-untyped-call]
        str(logged.path), input_path=str(sent), content_type="json", output_path=str(answered), env_manager="local"
    )
    np.testing.assert_allclose(plain(json.loads(answered.read_text())["predictions"]), logged.answers, rtol=1e-6)
