from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from monitoring.labels import LabelError, add_labels, read_labels
from monitoring.windows import LEAST_LABELS, measured


def test_what_came_later_replaces_what_came_before(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,label,who\nr1,007,x\nr2.1,cat,y\nr3,,z\n")
    (tmp_path / "b.csv").write_text("label,id\nNA,r2.1\n")
    assert read_labels(tmp_path) == {}
    assert add_labels(tmp_path, tmp_path / "a.csv") == 2
    assert add_labels(tmp_path, tmp_path / "b.csv") == 1
    assert read_labels(tmp_path) == {"r1": "007", "r2.1": "NA"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id;label\n1;2\n", "Expected labels.csv to have the columns 'id' and 'label', no 'id' among 'id;label'"),
        ("id,label\n1,a\n1,b\n", "Expected one label an item, labels.csv has several of '1'"),
        ("id,label\n", "labels.csv has no labels"),
        ("", "labels.csv cannot be read as CSV: No columns to parse from file"),
        ('id,label\n1,"a\n', "labels.csv cannot be read as CSV"),
        ("id,label\nnope-7,7,8,9\n", "labels.csv cannot be read as CSV: Error tokenizing data. C error: Expected 2 "),
        ("id,label\n1,2\n3,4,\n", "Expected 2 fields in line 3, saw 3"),
        ("id,label\n1,a\n1 ,b\n", "Expected one label an item, labels.csv has several of '1'"),
    ],
)
def test_what_are_no_labels_is_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(LabelError) as error:
        add_labels(tmp_path, tmp_path / "labels.csv")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert read_labels(tmp_path) == {}


def test_spaces_around_ids_and_labels_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("label,id,label\n 7 ,r1 ,9\nred wine,r2\n  ,r3\n")
    assert add_labels(tmp_path, tmp_path / "a.csv") == 2
    assert read_labels(tmp_path) == {"r1": "7", "r2": "red wine"}


@pytest.mark.parametrize(
    "content",
    [b"", b"PAR1 and nothing else", pd.DataFrame({"name": [1]}).to_parquet()],
    ids=["empty", "cut", "foreign"],
)
def test_a_file_that_has_no_labels_is_left_out_and_told_once(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "labels-1.parquet"
    broken.write_bytes(content)
    (tmp_path / "a.csv").write_text("id,label\nr1,7\n")
    add_labels(tmp_path, tmp_path / "a.csv")
    for _ in range(2):
        assert read_labels(tmp_path) == {"r1": "7"}
    assert caplog.messages == [f"{broken} is broken or not of the record, and is left out."]
    assert broken.read_bytes() == content


def test_labels_are_on_the_disk_before_they_are_in_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_: int) -> None:
        raise OSError("no space")

    monkeypatch.setattr(os, "fsync", failing)
    (tmp_path / "a.csv").write_text("id,label\nr1,7\n")
    with pytest.raises(OSError, match="no space"):
        add_labels(tmp_path, tmp_path / "a.csv")
    assert read_labels(tmp_path) == {}


def test_accuracy_is_measured_where_enough_is_known() -> None:
    rows = pd.DataFrame({"id": [f"r{place}" for place in range(100)], "label": [0, 1] * 50, "confidence": 0.9})
    known = {f"r{place}": "cat" for place in range(40)}
    found = measured(rows, ["cat", "dog"], known)
    assert found is not None
    assert (found.value, found.examples) == (0.5, 40)
    # Wilson 1927: centre (20 + 1.9208) / (40 + 3.8415), half 0.1478.
    assert (found.low, found.high) == pytest.approx((0.352, 0.648), abs=0.001)
    assert measured(rows, ["cat", "dog"], dict(list(known.items())[: LEAST_LABELS - 1])) is None
