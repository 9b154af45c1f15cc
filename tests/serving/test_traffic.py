"""The record of traffic of all three servers: what they answer stands in it, under the id that they tell."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import requests
from flask.testing import FlaskClient
from mlflow.pyfunc import PyFuncModel

from monitoring.record import read
from serving.container import slim_server
from serving.gateway.app import create_app
from serving.gateway.champion import Champion, Release
from serving.gateway.traffic import Traffic
from serving.rehearsal import read_golden
from serving.server import scoring_server
from tasks.contract import get_task
from tests.conftest import use_store
from tests.gateways import Gateway
from tests.serving.asking import Alias, drawing, totals, upload

TASK = get_task("digits")
GENERATED = re.compile(r"[0-9a-f]{12}-\d+")
Server = Callable[..., contextlib.AbstractContextManager[int]]


def ask(port: int, body: Any, name: str = "") -> requests.Response:
    headers = {"X-Request-Id": name} if name else {}
    return requests.post(f"http://127.0.0.1:{port}/invocations", json=body, headers=headers, timeout=30)


@pytest.mark.parametrize("server", [slim_server, pytest.param(scoring_server, marks=pytest.mark.slow)])
def test_a_server_records_what_it_answers_and_tells_the_id(server: Server, model: Path, tmp_path: Path) -> None:
    """Also what came in the moment before it was ended."""
    items, described = read_golden(model).items("numbers"), model / "MLmodel"
    described.write_text(described.read_text().replace("model_id: null", "model_id: m-12ab"))
    many = [
        np.roll(item, place).tolist() for item in items for place in range(50)
    ]  # one that came before is not described
    folder = tmp_path / "traffic"
    with server(model, TRAFFIC_DIR=str(folder)) as port:
        one = ask(port, {"inputs": items[:1]}, "order-7")
        assert one.headers["X-Request-Id"] == "order-7"
        assert requests.get(f"http://127.0.0.1:{port}/ping", timeout=5).headers.get("X-Request-Id") is None
        refused = ask(port, {"inputs": ["?"]}, "no id at all")
        assert refused.status_code == 400
        assert GENERATED.fullmatch(refused.headers["X-Request-Id"])
        ask(port, {"inputs": many}, "many")  # large enough to be answered in a thread
        last = ask(port, {"inputs": items[:1]})
    found = read(folder)
    rows = found.rows.set_index("id")
    assert rows.loc[refused.headers["X-Request-Id"], ["type", "kind"]].tolist() == ["refusal", "encoding"]
    probabilities = one.json()["predictions"][0]
    assert rows.loc["order-7", "label"] == max(range(10), key=probabilities.__getitem__)
    assert rows.loc["order-7", "confidence"] == pytest.approx(max(probabilities))
    assert last.headers["X-Request-Id"] in rows.index
    assert sum(rows.index.str.startswith("many.")) == 50 * len(items)
    assert set(rows["source"]) == {"models:/m-12ab"}
    assert {f"probability of {digit}" for digit in range(10)} <= set(found.features["models:/m-12ab"])


@pytest.mark.slow
def test_several_workers_lose_nothing_when_they_are_ended(saved: Path, tmp_path: Path) -> None:
    items = read_golden(saved).items("numbers")
    with slim_server(saved, workers=2, TRAFFIC_DIR=str(tmp_path)) as port:
        names = [ask(port, {"inputs": items[:1]}).headers["X-Request-Id"] for _ in range(200)]
    assert sorted(read(tmp_path).rows["id"]) == sorted(names)
    assert len(list(tmp_path.glob("*/*.jsonl"))) == len({name.partition("-")[0] for name in names})


@pytest.mark.parametrize("server", [slim_server, pytest.param(scoring_server, marks=pytest.mark.slow)])
def test_a_server_that_is_ended_has_sent_its_record_to_a_store(server: Server, saved: Path, tmp_path: Path) -> None:
    """What waits is in TMPDIR meanwhile, and gone then."""
    items, store = read_golden(saved).items("numbers"), tmp_path / "store"
    (tmp_path / "temporary").mkdir()
    with server(saved, TRAFFIC_DIR=store.as_uri(), TMPDIR=str(tmp_path / "temporary")) as port:
        names = [ask(port, {"inputs": items[:1]}).headers["X-Request-Id"] for _ in range(20)]
    assert read(store).rows["id"].tolist() == names
    assert list((tmp_path / "temporary").rglob("*.jsonl")) == []


@pytest.fixture
def recording(saved: Path, alias: Alias, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Champion:
    """A champion whose versions keep a record."""
    monkeypatch.setenv("TRAFFIC_DIR", str(tmp_path / "traffic"))

    def load(version: str) -> Release:
        model = mlflow.pyfunc.load_model(str(saved))
        traffic = Traffic(model.unwrap_python_model(), f"models:/digits/{version}")
        return Release(version, TASK.item, (8, 8), "uint8", TASK.answer, {}, model.predict, traffic)

    return Champion(lambda: alias.version, load)


def test_the_gateway_records_each_version_under_its_name(recording: Champion, alias: Alias, tmp_path: Path) -> None:
    client = create_app(TASK, recording).test_client()
    recording.refresh()
    answer = client.post("/predict", json={"image": [0] * 64}, headers={"X-Request-Id": "order-7"})
    assert answer.headers["X-Request-Id"] == "order-7"
    picture = upload(client, drawing())
    refused = client.post("/predict", json={"image": [0]})
    assert client.get("/model").headers.get("X-Request-Id") is None
    alias.version = "2"
    recording.refresh()
    other = client.post("/predict", json={"image": [0] * 64})
    assert recording.release is not None
    recording.release.traffic.ends(is_replaced=False)
    rows = read(tmp_path / "traffic").rows.set_index("id")
    assert rows.loc["order-7", ["source", "label"]].tolist() == ["models:/digits/1", (answer.json or {})["prediction"]]
    assert rows.loc[picture.headers["X-Request-Id"], "source"] == "models:/digits/1"
    assert rows.loc[refused.headers["X-Request-Id"], ["type", "kind"]].tolist() == ["refusal", "shape"]
    assert rows.loc[other.headers["X-Request-Id"], "source"] == "models:/digits/2"
    values = totals(client)
    assert values["model_traffic_recorded_total", ()] == 4
    assert values["model_traffic_lost_total", ()] == 0


def test_versions_whose_code_keeps_no_record_are_served(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAFFIC_DIR", "/tmp")
    answer = client.post("/predict", json={"image": [0] * 64}, headers={"X-Request-Id": "order-7"})
    assert answer.status_code == 200
    assert "X-Request-Id" not in answer.headers


def test_a_version_that_fails_to_keep_a_record_is_served(alias: Alias, served: PyFuncModel) -> None:
    class Later:
        def record_traffic(self, *_: object) -> None:
            raise TypeError("other arguments")

    traffic = Traffic(Later(), "models:/digits/1")
    release = Release("1", TASK.item, (8, 8), "uint8", TASK.answer, {}, served.predict, traffic)
    champion = Champion(lambda: alias.version, lambda version: release)
    champion.refresh()
    client = create_app(TASK, champion).test_client()
    assert client.post("/predict", json={"image": [0] * 64}).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("in_store", [False, True])
def test_the_gateway_s_process_writes_what_it_has_when_it_is_ended(
    champion_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_store: bool
) -> None:
    """The version was tried in a process of its own before, which records nothing."""
    use_store(monkeypatch, champion_database)
    place = tmp_path / "traffic"
    monkeypatch.setenv("TRAFFIC_DIR", place.as_uri() if in_store else str(place))
    with Gateway(tmp_path) as gateway:
        gateway.wait()
        url = f"{gateway.url}/predict"
        names = [requests.post(url, json={"image": [0] * 64}, timeout=5).headers["X-Request-Id"] for _ in range(5)]
    rows = read(tmp_path / "traffic").rows
    assert rows["id"].tolist() == names
    assert set(rows["source"]) == {"models:/digits/1"}
    assert len(list((tmp_path / "traffic").glob("*/*.jsonl"))) == 1
