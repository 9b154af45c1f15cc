"""The record of traffic: what stands in it, and what does not."""

from __future__ import annotations

import base64
import json
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from onnx import TensorProto

from monitoring.record import read
from served import record
from served.model import OnnxModel
from served.record import outputs_of, source_of
from served.record_features import numbers
from tests.served.graphs import NUMBERS, loaded
from tests.served.recording import LABELS, SHARES, SOURCE, Make, asked, columns_of, files, lines


@pytest.fixture(autouse=True)
def _by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written but where a test says so."""
    monkeypatch.setattr(record, "EVERY_SECONDS", 3600.0)


def test_a_row_says_what_became_of_an_item(make: Make, tmp_path: Path) -> None:
    recorder, before = make(), time.time()
    assert recorder.begin("order-7") == "order-7"
    recorder.answered([np.zeros((2, 3), np.float32)], SHARES, 0.25)
    recorder.begin("order-8")
    recorder.refused("shape", 0.5)
    recorder.begin("order-9")
    asked(recorder)
    recorder.flush()
    rows = read(tmp_path / "traffic").rows.set_index("id")
    assert sorted(rows.index) == ["order-7.0", "order-7.1", "order-8", "order-9"]
    assert rows.loc["order-7.0", ["type", "source", "output", "label"]].tolist() == ["prediction", SOURCE, "", 0]
    assert rows.loc["order-7.1", ["label", "confidence", "seconds"]].tolist() == [1, 0.75, 0.25]
    assert rows.loc["order-7.1", "time"] == pytest.approx(before - 0.25, abs=0.1)
    assert rows.loc["order-8", ["type", "kind", "seconds"]].tolist() == ["refusal", "shape", 0.5]
    assert rows.loc["order-9", "confidence"] == np.float32(0.9)
    (one, two) = lines(tmp_path)
    assert {one["type"], two["type"]} == {"refusal", "prediction"}  # a line each


def test_files_are_those_of_the_hour_and_the_process(make: Make, tmp_path: Path) -> None:
    for recorder in (make(), make()):
        asked(recorder)
        recorder.flush()
    one, other = files(tmp_path)
    assert one.parent.name in (time.strftime("%Y-%m-%dT%H", time.gmtime(time.time() - back)) for back in (0, 5))
    assert one.name != other.name


def test_models_record_what_they_answer_and_refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph doubles what it gets."""
    monkeypatch.setenv("TRAFFIC_DIR", str(tmp_path / "traffic"))
    model = loaded(tmp_path, TensorProto.FLOAT, (2,), "values", LABELS)
    assert model.begin("a") == ""  # no server has asked for a record
    model.record_traffic(SOURCE)
    assert model.begin("a") == "a"
    model.predict(None, [[0.1, 0.4], [0.45, 0.05]])
    model.begin("b")
    with pytest.raises(MlflowException):
        model.predict(None, [[0.1]])
    model.begin("c")
    model.refused("encoding", 0.1)
    model.end_traffic()
    rows = read(tmp_path / "traffic").rows.set_index("id")
    assert rows.loc["a.0", ["label", "confidence"]].tolist() == [1, np.float32(0.8)]
    assert rows.loc["a.1", ["label", "confidence"]].tolist() == [0, np.float32(0.9)]
    assert rows.loc[["b", "c"], "kind"].tolist() == ["shape", "encoding"]


def test_without_a_folder_nothing_is_recorded(tmp_path: Path) -> None:
    model = loaded(tmp_path, TensorProto.FLOAT, (2,), "values", LABELS)
    model.record_traffic(SOURCE)
    assert model.begin("a") == ""
    model.predict(None, [[0.1, 0.4]])
    model.refused("shape", 0.1)
    model.end_traffic()
    assert model._recorder is None


def test_numbers_and_several_answers(make: Make, tmp_path: Path) -> None:
    number = {"writer": "numbers", "counted": {}, "columns": ["value", "low", "high"]}
    answer = {"counted": {"kind": ["cat", "dog"]}, "answers": {"size": number, "kind": LABELS, "mask": NUMBERS}}
    assert outputs_of(answer) == {"kind": ["cat", "dog"], "size": None}
    assert outputs_of(number) == {"": None}
    assert outputs_of(NUMBERS) == {}
    recorder = make(outputs=outputs_of(answer))
    sizes = np.array([[3.5, 3, 4], [7.25, 7, 8]], np.float32)
    recorder.begin("x")
    recorder.answered([np.zeros((2, 3))], {"kind": SHARES, "size": sizes, "mask": np.zeros((2, 9, 9))}, 0.1)
    recorder.flush()
    rows = read(tmp_path / "traffic").rows.set_index(["id", "output"])
    assert rows["value"].dropna().to_dict() == {("x.0", "size"): 3.5, ("x.1", "size"): 7.25}
    assert rows["label"].dropna().to_dict() == {("x.0", "kind"): 0, ("x.1", "kind"): 1}


def test_what_is_not_looked_at_has_the_same_rows(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more requests than are described nothing is noted but the answer."""
    generator = np.random.default_rng(1)
    answers = [generator.dirichlet([1, 1], size).astype(np.float32) for size in generator.integers(1, 4, 40)]
    found = []
    for described in (200, 0):
        monkeypatch.setattr(record, "MOST_DESCRIBED", described)
        recorder = make(columns_of)
        for number, answer in enumerate(answers):
            recorder.begin(f"{described}-{number}")
            recorder.answered([np.zeros((len(answer), 2), np.float32)], answer, 0.25)
        recorder.flush()
        rows = read(tmp_path / "traffic").rows
        rows = rows[rows["id"].str.startswith(f"{described}-")].drop(columns="time")
        found.append(rows.assign(id=rows["id"].str.partition("-")[2]).sort_values("id", ignore_index=True))
    assert len(found[0]) == sum(map(len, answers))
    pd.testing.assert_frame_equal(*found)


def test_pictures_of_any_size_leave_a_row_without_an_answer(make: Make, tmp_path: Path) -> None:
    recorder = make(outputs={}, features=lambda batch: {"brightness": batch.mean(axis=(1, 2, 3))})
    for side in range(1, 31):
        recorder.answered([np.full((1, side, 1, 3), side, np.uint8), np.zeros((1, 1, side, 3), np.uint8)], ["…"] * 2, 1)
    recorder.flush()
    found = read(tmp_path / "traffic")
    assert len(found.rows) == 60
    assert sorted(found.features[SOURCE]["brightness"]) == [0.0] * 30 + list(range(1, 31))


def test_no_input_can_be_put_together_again(make: Make, tmp_path: Path) -> None:
    """Of 150 rows whose values are known, next to none stands in a row of a line; chance has about one a column."""
    sent = np.random.default_rng(1).permutation(np.arange(1_000_000, 1_000_450)).reshape(150, 3).astype(np.float32)
    recorder = make(columns_of)
    for row in sent:
        recorder.answered([row[None]], SHARES[:1], 0.001)
    recorder.flush()
    text = "".join(path.read_text() for path in files(tmp_path))
    for line in map(json.loads, text.splitlines()):
        if line["type"] == "prediction":
            assert set(line) == {"type", "source", "output", "id", "time", "seconds", "label", "confidence"}
            assert not any(f"{value:.0f}" in json.dumps(line) for value in sent.ravel())
    (features,) = [line for line in map(json.loads, text.splitlines()) if line["type"] == "features"]
    assert set(features) == {"type", "source", "time", "features"}
    columns = np.array([features["features"][f"column {place}"] for place in range(3)]).T
    assert sorted(columns.ravel()) == sorted(sent.ravel())  # all of it is there
    assert all(sorted(columns[:, place]) == sorted(sent[:, place]) for place in range(3))
    together = {tuple(row) for row in sent[:, :2]} | {tuple(row) for row in sent[:, 1:]}
    assert sum(tuple(row[part]) in together for row in columns for part in (slice(2), slice(1, 3))) < 12
    assert sum((columns[:, 0] == sent[:, 0]).tolist()) < 12


def test_few_items_are_held_back_until_there_are_more(make: Make, tmp_path: Path) -> None:
    recorder = make(columns_of)
    asked(recorder, 24)
    recorder.flush()
    assert read(tmp_path / "traffic").features == {}
    asked(recorder, value=5.0)
    recorder.flush()
    features = read(tmp_path / "traffic").features[SOURCE]
    assert sorted(features["column 1"]) == [0.0] * 24 + [5.0]
    np.testing.assert_array_equal(features["probability of cat"], np.full(25, 0.9, np.float32))
    asked(recorder, 24)
    recorder.close()  # nor are they written because it ends
    assert len(read(tmp_path / "traffic").features[SOURCE]["column 1"]) == 25


def test_of_many_items_some_are_described(make: Make, tmp_path: Path) -> None:
    described = []

    def noting(batch: np.ndarray) -> dict[str, np.ndarray]:
        described.append(len(batch))
        return columns_of(batch)

    recorder = make(noting)
    asked(recorder, 150)
    asked(recorder, 3, np.repeat(SHARES, 40, axis=0))
    recorder.flush()
    asked(recorder, 1, np.repeat(SHARES, 500, axis=0))
    recorder.flush()
    assert described == [160, 160]
    found = read(tmp_path / "traffic")
    assert len(found.rows) == 150 + 3 * 80 + 1000
    assert {len(values) for values in found.features[SOURCE].values()} == {320}


def test_inputs_that_cannot_be_described_are_served_and_recorded(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(batch: np.ndarray) -> dict[str, np.ndarray]:
        raise ZeroDivisionError

    recorder = make(broken)
    for _ in range(2):
        asked(recorder, 30)
        recorder.flush()
    found = read(tmp_path / "traffic")
    assert len(found.rows) == 60
    assert set(found.features[SOURCE]) == {"probability of cat", "probability of dog"}
    assert len(caplog.records) == 1


def test_what_is_no_number_is_none(make: Make, tmp_path: Path) -> None:
    recorder = make(lambda batch: {"missing": np.where(batch[:, 0] > 0, np.nan, batch[:, 0])})
    asked(recorder, 20)
    asked(recorder, 10, value=1.0)
    recorder.flush()
    assert np.isnan(read(tmp_path / "traffic").features[SOURCE]["missing"]).sum() == 10


def test_numbers_have_the_digits_that_float32_has() -> None:
    given = np.array([0, 0.9, -1 / 3, 1e-30, 1234567, 3.4e38, 1e-45, np.inf, np.nan], np.float32)
    written = numbers(given)
    assert written[:5] == [0, 0.9, -0.3333333, pytest.approx(1e-30, rel=1e-12), 1234567]
    assert written[5:7] == pytest.approx([3.4e38, 1.4e-45], rel=1e-2)
    assert written[7:] == [None, None]


def test_raw_inputs_are_recorded_only_where_that_is_asked_for(make: Make, tmp_path: Path) -> None:
    batch = np.array([[1, 2], [3, 4]], np.float32)
    secret = [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in batch]
    recorder = make(columns_of)
    recorder.answered([batch], SHARES, 0.1)
    recorder.flush()
    assert not any(one in path.read_text() for path in files(tmp_path) for one in secret)
    recorder = make(columns_of, inputs=1.0)
    recorder.begin("r")
    recorder.answered([batch], SHARES, 0.1)
    recorder.flush()
    inputs = read(tmp_path / "traffic").inputs.set_index("id")
    assert list(inputs.index) == ["r.0", "r.1"]
    assert inputs.loc["r.1", "dtype"] == "float32"
    assert list(inputs.loc["r.1", "shape"]) == [2]
    np.testing.assert_array_equal(np.frombuffer(inputs.loc["r.1", "data"], "<f4"), batch[1])


def test_a_share_of_the_requests_has_its_inputs_recorded(make: Make, tmp_path: Path) -> None:
    recorder = make(inputs=0.3)
    asked(recorder, 1000)
    recorder.flush()
    assert 200 < len(read(tmp_path / "traffic").inputs) < 400  # 300, and four standard deviations are 58


@pytest.mark.parametrize("sent", ["a", "A.b_c-9", "x" * 64])
def test_an_id_that_was_sent_is_kept(make: Make, sent: str) -> None:
    assert make().begin(sent) == sent


@pytest.mark.parametrize("sent", ["", "x" * 65, "a b", "a\n", "ä", '"', "a,b", "../a", "\x00"])
def test_other_ids_are_replaced(make: Make, sent: str) -> None:
    recorder = make()
    first, second = recorder.begin(sent), recorder.begin(sent)
    assert first != second
    assert record.SENT_ID.fullmatch(first)
    assert make().begin(sent) not in (first, second)


def test_requests_at_once_are_not_taken_for_each_other(make: Make, tmp_path: Path) -> None:
    recorder = make()
    started = threading.Barrier(4)

    def ask(name: str) -> None:
        recorder.begin(name)
        started.wait()
        asked(recorder)

    threads = [threading.Thread(target=ask, args=(f"r{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.flush()
    assert sorted(read(tmp_path / "traffic").rows["id"]) == ["r0", "r1", "r2", "r3"]


def test_a_source_is_a_uri_of_mlflow() -> None:
    assert source_of("mnist", "3", "m-12") == "models:/mnist/3"
    assert source_of("", "", "m-12") == "models:/m-12"
    assert source_of("", "", "") == ""


def test_a_version_that_is_replaced_records_what_it_is_still_answering(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "LINGER_SECONDS", 0.3)
    monkeypatch.setattr(record, "EVERY_SECONDS", 0.05)
    recorder = make()
    asked(recorder)
    recorder.retire()
    assert len(read(tmp_path / "traffic").rows) == 1
    asked(recorder)
    (thread,) = [one for one in threading.enumerate() if one.name == "traffic record" and one.is_alive()][-1:]
    thread.join(5)
    assert not thread.is_alive()
    assert len(read(tmp_path / "traffic").rows) == 2


def test_models_ask_their_reader_for_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAFFIC_DIR", str(tmp_path / "traffic"))
    model: OnnxModel = loaded(tmp_path, TensorProto.FLOAT, (2,), "values", LABELS)
    monkeypatch.setattr(model._reader, "features", columns_of, raising=False)
    model.record_traffic(SOURCE)
    model.predict(None, np.repeat(np.arange(30, dtype=np.float32)[:, None], 2, axis=1))
    model.end_traffic()
    features = read(tmp_path / "traffic").features[SOURCE]
    assert set(features) == {"column 0", "column 1", "probability of cat", "probability of dog"}
    assert sorted(features["column 0"]) == list(range(30))
    assert sorted(features["probability of cat"]) == [2 * value for value in range(30)]  # the graph adds the two
