"""A model that was logged before there were forms goes on being served.

`tests/frozen/digits_1` is what commit 3c44a2a logs for an untrained linear model of digits, less what serving does not
need.
"""

from __future__ import annotations

import json

import mlflow
import numpy as np
import pytest
from mlflow.pyfunc import PyFuncModel

from forms.answers.labels import Labels
from forms.items.ink import Ink
from lifecycle.releases import forms_of
from serving.gateway.app import create_app
from serving.gateway.champion import Champion, Release
from tasks.contract import get_task
from tests.conftest import ROOT

FROZEN = ROOT / "tests/frozen/digits_1"


@pytest.fixture(scope="module")
def frozen() -> PyFuncModel:
    return mlflow.pyfunc.load_model(str(FROZEN))


def test_its_answers_are_those_it_was_logged_with(frozen: PyFuncModel) -> None:
    golden = json.loads((FROZEN / "artifacts/golden.json").read_text())
    assert len(golden["requests"]) == 3
    for request in golden["requests"]:
        np.testing.assert_allclose(
            frozen.predict(request["body"]["inputs"]), request["predictions"], atol=golden["tolerance"]
        )


def test_the_gateway_shows_it_as_before(frozen: PyFuncModel) -> None:
    item, answer, shape, dtype = forms_of("models:/digits/1", frozen.metadata.metadata or {})
    assert (item, answer, shape) == (Ink(white=16), Labels(tuple("0123456789"), ordered=True), (8, 8))
    release = Release("1", item, shape, dtype, answer, {}, frozen.predict)
    champion = Champion(lambda: "1", lambda version: release)
    champion.refresh()
    client = create_app(get_task("digits"), champion).test_client()
    image = get_task("digits").load("validation").inputs[0].ravel().tolist()
    reply = client.post("/predict", json={"image": image}).json or {}
    assert reply["probabilities"] == pytest.approx(np.asarray(frozen.predict([np.reshape(image, (8, 8)).tolist()])))
