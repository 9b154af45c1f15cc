"""Reading a record of traffic while it is written, packed and removed."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from monitoring import record, tables
from monitoring.record import Traffic, compact, read

SOURCE = "models:/digits/3"
BEGAN = 1_000_000_800.0  # 2001-09-09T02:00:00 UTC
HOUR = "2001-09-09T02"


def prediction(names: list[str], time: float = BEGAN, **more: Any) -> dict[str, Any]:
    count = len(names)
    same = {"time": [time] * count, "seconds": [0.5] * count, "label": [1] * count, "confidence": [0.75] * count}
    return {"type": "prediction", "source": SOURCE, "output": "", "id": names, **same, **more}


REFUSAL = {"type": "refusal", "source": SOURCE, "id": ["d"], "time": [BEGAN], "seconds": [1.5], "kind": ["shape"]}
FEATURES = {
    "type": "features",
    "source": SOURCE,
    "time": [BEGAN, BEGAN + 10],
    "features": {"age": [1, None, 3.5], "size": [7]},
}
INPUT = {
    "type": "input",
    "source": SOURCE,
    "id": ["a"],
    "time": [BEGAN],
    "dtype": "uint8",
    "shape": [[2, 1]],
    "data": [base64.b64encode(b"\x01\x02").decode()],
}
ALL = [prediction(["a", "b"]), REFUSAL, FEATURES, INPUT]


def write(folder: Path, lines: list[Any], name: str = "one", hour: str = HOUR, tail: str = "") -> Path:
    """A file of lines that nobody has written to for long."""
    path = folder / hour / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + tail)
    os.utime(path, (BEGAN, BEGAN))
    return path


def same(one: Traffic, other: Traffic) -> bool:
    """Whether the two have the same rows and values, in whatever order."""
    ids = [sorted(zip(each.rows["type"], each.rows["id"], strict=True)) for each in (one, other)]
    values = [
        {
            (source, name): sorted(np.nan_to_num(values, nan=-1))
            for source, of in each.features.items()
            for name, values in of.items()
        }
        for each in (one, other)
    ]
    inputs = [sorted(each.inputs["data"]) for each in (one, other)]
    return ids[0] == ids[1] and values[0] == values[1] and inputs[0] == inputs[1]


def test_lines_become_tables(tmp_path: Path) -> None:
    write(tmp_path, ALL)
    found = read(tmp_path)
    rows = found.rows.set_index("id")
    assert list(rows.index) == ["a", "b", "d"]
    assert rows.loc["a", ["source", "type", "label", "confidence", "seconds"]].tolist() == [
        *(SOURCE, "prediction", 1, 0.75, 0.5)
    ]
    assert rows.loc["d", ["type", "kind", "seconds"]].tolist() == ["refusal", "shape", 1.5]
    assert pd.isna(rows.loc["d", "label"])
    np.testing.assert_array_equal(found.features[SOURCE]["age"], np.array([1, np.nan, 3.5], np.float32))
    assert found.inputs.loc[0, "data"] == b"\x01\x02"
    assert list(found.inputs.loc[0, "shape"]) == [2, 1]


def test_an_empty_folder_has_nothing(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert found.rows.empty
    assert found.features == {}
    assert found.inputs.empty
    assert compact(tmp_path) == []


@pytest.mark.parametrize("tail", ['{"type": "predic', "\n\x00\x00", "17\n", "[]\n", '{"id": []}\n', "null\n"])
def test_what_is_cut_off_or_broken_is_left_out(tmp_path: Path, tail: str) -> None:
    write(tmp_path, ALL, tail=tail)
    assert len(read(tmp_path).rows) == 3


@pytest.mark.parametrize(
    "broken",
    [
        prediction(["x", "y"], label=[1]),
        prediction(["x"], confidence=["high"]),
        prediction(["x"], label=[2**70]),
        prediction(["x"], source=None),
        {"type": "prediction"},
        {**FEATURES, "features": [1]},
        {**FEATURES, "time": [1]},
        {**INPUT, "data": ["!"]},
    ],
)
def test_a_line_that_does_not_fit_is_left_out(tmp_path: Path, broken: dict[str, Any]) -> None:
    write(tmp_path, [broken, *ALL])
    write(tmp_path / "good", ALL)
    assert same(read(tmp_path), read(tmp_path / "good"))


def test_later_code_may_write_more(tmp_path: Path) -> None:
    write(tmp_path, [prediction(["a"], colour=["red"]), {"type": "verdict", "id": ["a"]}, prediction(["b"])])
    assert read(tmp_path).rows["id"].tolist() == ["a"]
    later = tmp_path / HOUR / "one.jsonl"
    write(tmp_path, [prediction(["c"])], "two")
    compact(tmp_path)
    assert later.exists()  # whoever knows what it is may read it
    assert sorted(read(tmp_path).rows["id"]) == ["a", "c"]


def test_a_span_of_time_has_what_came_in_it(tmp_path: Path) -> None:
    for place in range(-2, 3):
        when = BEGAN + 3600 * place
        group = {**FEATURES, "time": [when - 5, when], "features": {"age": [float(place)]}}
        write(tmp_path, [prediction([f"h{place}"], when), group], hour=f"2001-09-09T{2 + place:02}")
    for _ in range(2):
        assert read(tmp_path, BEGAN, BEGAN + 3600).rows["id"].tolist() == ["h0"]
        assert read(tmp_path, since=BEGAN + 1).rows["id"].tolist() == ["h1", "h2"]
        assert read(tmp_path, until=BEGAN).rows["id"].tolist() == ["h-2", "h-1"]
        assert read(tmp_path, BEGAN, BEGAN + 1).features[SOURCE]["age"].tolist() == [0.0]
        compact(tmp_path)


def test_what_is_packed_is_the_same(tmp_path: Path) -> None:
    write(tmp_path, ALL)
    write(tmp_path, ALL, "two", tail='{"type')
    before = read(tmp_path)
    assert compact(tmp_path) == [HOUR]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != record.LOCK) == [
        *(f"{HOUR}.features.parquet", f"{HOUR}.inputs.parquet", f"{HOUR}.parquet")
    ]
    assert same(read(tmp_path), before)
    assert len(before.rows) == 6
    assert compact(tmp_path) == []
    assert pq.read_table(tmp_path / f"{HOUR}.parquet").num_rows == 6


def test_an_hour_that_is_written_is_left(tmp_path: Path) -> None:
    write(tmp_path, ALL, hour=time.strftime(record.HOUR_FORMAT, time.gmtime()))
    os.utime(write(tmp_path, ALL))
    assert compact(tmp_path) == []
    assert len(read(tmp_path).rows) == 6


def test_what_comes_later_is_packed_beside_it(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path, [prediction([f"r{number}"])], f"file{number}")
        assert compact(tmp_path) == [HOUR]
        assert len(read(tmp_path).rows) == number + 1
    assert (tmp_path / f"{HOUR}-2.parquet").exists()


class Killed(BaseException):
    pass


@pytest.mark.parametrize("last", range(12))
def test_killed_at_any_point_nothing_is_lost_or_double(
    tmp_path: Path, last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every change that it makes to the folder may be the last."""
    for name in ("one", "two", "three"):
        write(tmp_path, ALL, name)
    before = read(tmp_path)
    with monkeypatch.context() as patch:
        done = 0

        def dying(change: Callable[..., Any]) -> Callable[..., Any]:
            def changed(*arguments: Any, **options: Any) -> Any:
                nonlocal done
                done += 1
                if done > last:
                    raise Killed
                return change(*arguments, **options)

            return changed

        for name in ("replace", "unlink", "rmdir"):
            patch.setattr(Path, name, dying(getattr(Path, name)))
        patch.setattr(os, "fsync", dying(os.fsync))
        try:
            compact(tmp_path)
        except Killed:
            assert last < 10
        else:
            assert last >= 10  # three files synced, moved, and removed, and a folder
    assert same(read(tmp_path), before)
    compact(tmp_path)
    assert same(read(tmp_path), before)
    assert not list(tmp_path.glob("*.tmp")) + list(tmp_path.glob(".*.tmp"))
    assert not (tmp_path / HOUR).exists()


FOREIGN = pd.DataFrame({"name": [1]}).to_parquet()


@pytest.mark.parametrize("content", [b"", b"PAR1 and nothing else", FOREIGN], ids=["empty", "cut", "foreign"])
@pytest.mark.parametrize("kind", ["", ".features", ".inputs"])
def test_a_packed_file_that_nobody_can_read_is_left_out(
    tmp_path: Path, content: bytes, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, [prediction(["early"], BEGAN - 3600)], hour="2001-09-09T01")
    compact(tmp_path)
    broken = tmp_path / f"2001-09-09T01{kind}.parquet"
    broken.write_bytes(content)
    write(tmp_path, [prediction(["late"], BEGAN - 3600)], "two", hour="2001-09-09T01")
    for _ in range(2):
        assert sorted(read(tmp_path).rows["id"]) == (["early"] if kind else []) + ["late"]
        compact(tmp_path)
    assert caplog.messages == [f"{broken} is broken or not of the record, and is left out."]
    assert broken.read_bytes() == content


def test_what_is_named_like_the_record_and_is_none_of_it_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, ALL)
    (tmp_path / HOUR / "folder.jsonl").mkdir()
    (tmp_path / "2001-09-09T03.parquet").mkdir()
    (tmp_path / "2001-09-09T04").write_text("")
    (tmp_path / "2026-99-99T99").mkdir()
    assert not record.may_have("2026-99-99T99", 0.0)
    for _ in range(2):
        assert len(read(tmp_path, BEGAN - 1).rows) == 3
        assert compact(tmp_path) in ([HOUR], [])
    assert (tmp_path / HOUR / "folder.jsonl").is_dir()
    assert (tmp_path / "2026-99-99T99").is_dir()


def test_what_is_packed_while_it_is_read_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, ALL)
    before, tables_of = read(tmp_path), tables.tables_of

    def packed_meanwhile(path: Path) -> Any:
        monkeypatch.setattr(record, "tables_of", tables_of)
        compact(tmp_path)
        return tables_of(path)

    monkeypatch.setattr(record, "tables_of", packed_meanwhile)
    assert same(read(tmp_path), before)


def test_what_is_packed_before_it_is_listed_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, ALL)
    before, packed = read(tmp_path), record._packed

    def late(folder: Path, hour: str) -> Any:
        found = packed(folder, hour)
        monkeypatch.setattr(record, "_packed", packed)
        compact(tmp_path)
        return found

    monkeypatch.setattr(record, "_packed", late)
    assert same(read(tmp_path), before)


def test_features_may_be_removed_before_their_rows(tmp_path: Path) -> None:
    write(tmp_path, ALL)
    compact(tmp_path)
    (tmp_path / f"{HOUR}.features.parquet").unlink()
    found = read(tmp_path)
    assert len(found.rows) == 3
    assert found.features == {}
