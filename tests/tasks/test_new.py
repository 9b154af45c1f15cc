"""A task about somebody's own table: what is found in it, what is written, and what is wrong with it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from steps.new import parser, run
from tasks import splits
from tasks.contract import SplitName, Task, UserError
from tasks.new import new_smallest, new_table
from tasks.table_columns import look_at
from tasks.tables import Table
from tasks.training import adapt
from tests.conftest import ROOT

COUNT = 400
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
GENERATOR = np.random.default_rng(1)
ALCOHOL = GENERATOR.normal(10, 1, COUNT).round(2)
WINES = pd.DataFrame(
    {
        "id": np.arange(1, COUNT + 1),
        "alcohol": np.where(np.arange(COUNT) % 10 == 3, np.nan, ALCOHOL),
        "colour": np.where(GENERATOR.random(COUNT) < 0.6, "red", "white"),
        "made": pd.date_range("2020-01-01", periods=COUNT).strftime("%Y-%m-%d"),
        "cellar": "A",
        "note": [f"note {number}" for number in range(COUNT)],
        "grower": GENERATOR.integers(0, 40, COUNT),
        "price": (3 * ALCOHOL + GENERATOR.normal(0, 1, COUNT)).round(2),
        "good": np.where(ALCOHOL + GENERATOR.normal(0, 0.3, COUNT) > 10, "yes", "no"),
    }
)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "wine.csv"
    WINES.to_csv(path, index=False)
    return str(path)


def saved(frame: pd.DataFrame, folder: Path, **options: Any) -> str:
    path = folder / "other.csv"
    frame.to_csv(path, index=False, **options)
    return str(path)


def made(root: Path, name: str) -> Task:
    """The task that was written below a folder."""
    spec = importlib.util.spec_from_file_location(name, root / "tasks" / name / "__init__.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    task: Task = module.TASK
    return task


def test_words_become_classes_and_what_tells_nothing_is_left_out_by_name(file: str, tmp_path: Path) -> None:
    written = new_table("wine", file, "good", root=tmp_path)
    assert written.files == [
        "tasks/wine/__init__.py",
        "tests/tasks/wine/__init__.py",
        "tests/tasks/wine/test_data.py",
    ]
    assert written.remarks == [
        "A classification: good is one of no, yes. (If it is a number, say kind=regression.)",
        "'id' is left out: every value is different, as of an id.",
        "'made' is left out: it is a date: say time=<column> to test with the latest rows.",
        "'cellar' is left out: it is always A.",
        "'note' is left out: every value is different, as of an id or a text.",
    ]
    task = made(tmp_path, "wine")
    train, test = task.load("train"), task.load("test")
    assert (len(train), len(task.load("validation")), len(test)) == (280, 60, 60)
    assert task.item.names == ("alcohol", "colour", "grower", "price")
    shares = [(split.targets == 1).mean() for split in (train, test)]
    assert shares[0] == pytest.approx(shares[1], abs=0.01)  # stratified
    known = train.inputs[:, 0]
    assert np.isfinite(known).all()
    assert task.item.shown["alcohol"] == pytest.approx(np.median(known))
    common = max((train.targets == label).mean() for label in (0, 1))
    assert task.primary.floor == pytest.approx(common + 0.2 * (1 - common), abs=0.001)


def test_without_data_it_is_the_smallest_task_that_runs(tmp_path: Path) -> None:
    written = new_smallest("mine", tmp_path)
    assert written.files[0] == "tasks/mine/__init__.py"
    task = made(tmp_path, "mine")
    assert (task.name, len(task.load("train")), len(task.load("test"))) == ("mine", 700, 150)
    assert "smallest" not in (tmp_path / "tasks/mine/__init__.py").read_text()
    assert task.item.names == ("width", "height")


def test_what_only_tables_have_is_refused_without_one() -> None:
    with pytest.raises(UserError, match="are of a table: say which file, data=<file>"):
        run(parser().parse_args(["--name", "mine", "--target", "price"]))


def test_the_files_pass_the_linter_and_the_formatter_as_they_are(file: str, tmp_path: Path) -> None:
    pytest.importorskip("ruff", reason="requirements-dev.txt is not installed")
    new_table("wine", file, "price", root=tmp_path)
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--config", str(ROOT / "pyproject.toml"), "."]
        result = subprocess.run(ruff, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout


def test_a_number_becomes_a_regression_in_the_target_s_own_scale(file: str, tmp_path: Path) -> None:
    new_table("price", file, "price", root=tmp_path)
    task = made(tmp_path, "price")
    train = task.load("train")
    assert train.targets.dtype == np.float32
    model = task.build(task.configure())
    adapt(model, train)
    untrained = model.predict(train.inputs, verbose=0)
    assert untrained.shape == (280, 3)
    assert (untrained[:, 1] <= untrained[:, 0]).all()
    assert (untrained[:, 0] <= untrained[:, 2]).all()
    assert abs(untrained[:, 0].mean() - train.targets.mean()) < 3 * train.targets.std()
    baseline = np.abs(train.targets - np.median(train.targets)).mean()
    assert task.primary.floor == pytest.approx(0.8 * baseline, rel=0.01)


def test_groups_stay_together_and_times_in_order(file: str, tmp_path: Path) -> None:
    keyed = WINES.assign(key=np.random.default_rng(2).permutation(COUNT) + 0.5)
    grouped = look_at(saved(keyed, tmp_path), "good", group="grower").table
    grower = dict(zip(keyed.key, keyed.grower, strict=True))
    growers = [{grower[key] for key in grouped.load(name).inputs[:, -1]} for name in SPLITS]
    assert sum(map(len, growers)) == len(set.union(*growers)) == WINES.grower.nunique()
    test = grouped.load("test")
    assert test.groups is not None
    pairs = set(zip(test.groups.tolist(), (grower[key] for key in test.inputs[:, -1]), strict=True))
    assert len(pairs) == len(set(test.groups.tolist())) == len(growers[2])
    assert look_at(file, "good").table.load("test").groups is None
    later = look_at(file, "price", time="made").table
    assert later.load("test").targets.tolist() == pytest.approx(WINES.price[-60:].tolist())


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators_are_found(tmp_path: Path, separator: str) -> None:
    table = look_at(saved(WINES, tmp_path, sep=separator), "good").table
    assert table.separator == separator
    assert len(table.load("train")) == 280


def test_parquet_and_whole_numbers_as_classes(tmp_path: Path) -> None:
    path = tmp_path / "wine.parquet"
    WINES.assign(stars=np.arange(COUNT) % 5).to_parquet(path)
    table = look_at(str(path), "stars").table
    assert table.labels == ("0", "1", "2", "3", "4")
    assert sorted(set(table.load("test").targets)) == [0, 1, 2, 3, 4]
    assert look_at(str(path), "stars", kind="regression").table.labels == ()


def test_a_column_that_gives_the_answer_away_is_warned_of(tmp_path: Path) -> None:
    written = new_table(
        "leaky", saved(WINES.assign(verdict=WINES.good.map({"yes": 1, "no": 0})), tmp_path), "good", root=tmp_path
    )
    warning = "The column 'verdict' alone says what good is. If it is not known before good is, take it out."
    assert written.remarks[-1] == warning
    assert made(tmp_path, "leaky").limits == warning  # on every model's card


def test_rows_without_a_target_are_left_out_and_counted(tmp_path: Path) -> None:
    found = look_at(saved(WINES.assign(good=WINES.good.where(WINES.index > 99)), tmp_path), "good")
    assert found.warnings == ["Rows without a good are left out: 100. (Empty, or NA, None, null or NaN.)"]
    assert sum(len(found.table.load(name)) for name in SPLITS) == 300


@pytest.mark.parametrize(
    ("changed", "target", "message"),
    [
        ({}, "goood", r"Unknown column of .*other.csv: 'goood'. Did you mean 'good'\?"),
        ({"good": "yes"}, "good", "The column 'good' is always 'yes': there is nothing to tell"),
        ({"good": [*["yes"] * 397, "no", "no", "no"]}, "good", "The class 'no' has 3 examples; at least 7 are needed"),
        ({"good": [None] * 380 + ["yes"] * 20}, "good", "has 20 rows with a good; at least 50 are needed"),
        ({name: 1 for name in WINES if name != "good"}, "good", "has no column that good could be told from"),
    ],
)
def test_what_nothing_can_be_learnt_from_is_refused_in_one_line(
    tmp_path: Path, changed: dict[str, Any], target: str, message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        new_table("wine", saved(WINES.assign(**changed), tmp_path), target, root=tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "tasks").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\x00", "is not in UTF-8. Save it as CSV in UTF-8"),
        (b"", "cannot be read as a table: No columns to parse from file"),
        (b"one\n1\n2\n", "has one column, 'one'. Expected a header and values separated by commas"),
        (b'a,b\n"1,2\n', "cannot be read as values separated by ',': EOF inside string"),
        (b"a;b,c\n1,0;2,5\n1,1,1,1;3,5\n", "Are there commas in its numbers or words"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "broken.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        look_at(str(path), "a")
    assert "\n" not in str(caught.value)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ends in \.csv or \.tsv or \.txt or \.parquet, received .*book\.xlsx"):
        new_table("wine", str(tmp_path / "book.xlsx"), "good", root=tmp_path)


def test_rows_cannot_stay_together_and_be_divided_in_time(file: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Say group=grower or time=made, not both"):
        new_table("wine", file, "good", "grower", "made", root=tmp_path)
    with pytest.raises(UserError, match="not both"):
        Table(file, "good", (), group="grower", time="made")


def test_a_class_that_nobody_spoke_of_is_told(file: str, tmp_path: Path) -> None:
    new_table("wine", file, "good", root=tmp_path)
    other = saved(WINES.replace({"good": {"yes": "very"}}), tmp_path)
    table = replace(look_at(file, "good").table, file=other)
    with pytest.raises(UserError, match=r"rows of .* have a good that is not among the task's labels: 'very'\. Add it"):
        table.load("train")
    left = replace(table, left_out=("very",))
    assert sum(len(left.load(name)) for name in SPLITS) == (WINES.good == "no").sum()


def test_words_that_were_not_there_before_are_told(file: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = saved(WINES.replace({"colour": {"red": "rot"}}), tmp_path)
    replace(look_at(file, "good").table, file=other).load("train")
    assert (
        f"{(WINES.colour == 'red').sum()} rows have a colour that is not among its choices, such as 'rot'"
        in caplog.text
    )


def test_decimal_commas_are_read(tmp_path: Path) -> None:
    path = saved(WINES, tmp_path, sep=";", decimal=",")
    found = look_at(path, "good")
    assert (found.table.separator, found.table.decimal) == (";", ",")
    assert [column.name for column in found.table.columns if not column.choices] == ["alcohol", "grower", "price"]
    new_table("wine", path, "good", root=tmp_path)
    assert made(tmp_path, "wine").load("train").inputs[:, 3].mean() == pytest.approx(30, abs=1)


@pytest.mark.parametrize("written", ["€{:,.2f}", "{:,.2f}", "{:.1f}%", "{:.2f} km"])
def test_numbers_that_are_written_as_words_are_told(tmp_path: Path, written: str) -> None:
    frame = WINES.assign(price=(1000 * WINES.price).map(written.format))
    left_out = look_at(saved(frame, tmp_path), "good").left_out
    assert left_out["price"].startswith("its numbers are written as words, such as ")


def test_codes_and_lists_are_told(tmp_path: Path) -> None:
    codes = [f"{number % 37:05}" for number in range(COUNT)]
    found = look_at(saved(WINES.assign(zip=codes), tmp_path), "good")
    assert "Values of 'zip' begin with 0, as those of a code do, and are taken for numbers." in found.warnings[-1]
    path = tmp_path / "wine.parquet"
    WINES.assign(tags=[[number] for number in range(COUNT)], grade=[str(n % 3) for n in range(COUNT)]).to_parquet(path)
    found = look_at(str(path), "good")
    assert found.left_out["tags"] == "it has lists"
    assert found.table.columns[-1].choices == ("0", "1", "2")


@pytest.mark.parametrize("name", ["Wine", "9wine", "class", "digits", "tables", "a-b", ""])
def test_a_name_that_cannot_be_is_refused(file: str, name: str) -> None:
    with pytest.raises(UserError, match=r"Expected a name|There is tasks/"):
        new_table(name, file, "good")


def test_a_word_that_was_not_there_before_counts_as_missing(file: str) -> None:
    table = look_at(file, "good").table
    column = next(one for one in table.columns if one.name == "colour")
    assert column.values(pd.Series(["white", "green", None])).tolist() == [1, column.place, column.place]


def test_a_million_rows_are_looked_at_in_seconds(tmp_path: Path) -> None:
    many = WINES.sample(200_000, replace=True, random_state=1).reset_index(drop=True)
    found = look_at(saved(many, tmp_path), "good")
    assert found.examples == 30_000


def test_splits_are_apart_and_the_same_each_time() -> None:
    classes = np.arange(100) % 3
    for rows in (splits.shuffled(100), splits.stratified(classes), splits.by_group(classes * 7 + np.arange(100) % 7)):
        assert sorted(np.concatenate(list(rows.values()))) == list(range(100))
    assert splits.stratified(classes)["test"].tolist() == splits.stratified(classes)["test"].tolist()
