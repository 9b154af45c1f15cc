from __future__ import annotations

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
    ],
)
def test_what_are_no_labels_is_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(LabelError) as error:
        add_labels(tmp_path, tmp_path / "labels.csv")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert read_labels(tmp_path) == {}


def test_accuracy_is_measured_where_enough_is_known() -> None:
    rows = pd.DataFrame({"id": [f"r{place}" for place in range(100)], "label": [0, 1] * 50})
    known = {f"r{place}": "cat" for place in range(40)}
    found = measured(rows, ["cat", "dog"], known)
    assert found is not None
    assert (found.value, found.examples) == (0.5, 40)
    # Wilson 1927: centre (20 + 1.9208) / (40 + 3.8415), half 0.1478.
    assert (found.low, found.high) == pytest.approx((0.352, 0.648), abs=0.001)
    assert measured(rows, ["cat", "dog"], dict(list(known.items())[: LEAST_LABELS - 1])) is None
