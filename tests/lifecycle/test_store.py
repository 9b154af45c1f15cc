"""Where a store's files lie, whatever its folder and its experiments are called, and what is said of other schemas."""

from __future__ import annotations

import shutil
import sqlite3
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from urllib.request import pathname2url

import mlflow
import pytest

from lifecycle.runs import connect, step_run
from lifecycle.store import artifact_location, database_file, folder_name, shown, usable_uri
from tasks.contract import UserError, get_task

FOLDERS = ["My Projécts 100%", "a%20b", "100%25", "# one? &;'\"", "日本", "plain"]


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = mlflow.get_tracking_uri()
    yield
    mlflow.set_tracking_uri(before)


@pytest.mark.parametrize(
    ("uri", "file"),
    [
        ("sqlite:////srv/My%20Projects/m.db", "/srv/My Projects/m.db"),
        ("sqlite:////srv/My Projects/m.db", "/srv/My Projects/m.db"),
        ("sqlite:////srv/a%2520b/m.db", "/srv/a%20b/m.db"),
        ("sqlite:////srv/100%/m.db", "/srv/100%/m.db"),
        ("sqlite:////srv/%C3%A9#1/m.db?timeout=3", "/srv/é#1/m.db"),
        ("sqlite+pysqlite:////srv/m.db", "/srv/m.db"),
        ("sqlite:///m.db", "m.db"),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("sqlite:///file:m.db?mode=ro&uri=true", None),
        ("postgresql://me:secret@host/mlflow", None),
        ("http://host:5000", None),
        ("http://host:port", None),
        ("./mlruns", None),
        ("", None),
    ],
)
def test_the_file_is_the_one_that_sqlalchemy_opens(uri: str, file: str | None) -> None:
    assert database_file(uri) == (None if file is None else Path(file))
    assert database_file(usable_uri(uri)) == database_file(uri)


@pytest.mark.parametrize("folder", FOLDERS)
def test_everything_lies_in_the_projects_folder_whatever_it_is_called(
    folder: str, tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / folder / "x"
    project.mkdir(parents=True)
    shutil.copy(empty_database, project / "mlflow.db")
    given = f"sqlite:///{pathname2url(str(project / 'mlflow.db'))}"  # as MLflow makes its default
    Path(given.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)  # as `mlflow run` does with it
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    mlflow.set_tracking_uri(given)
    client = connect()
    with step_run(client, get_task("digits"), "train", "a name", "a note") as run:
        mlflow.log_text("kept", "file.txt")
    artifacts = project / "mlruns" / "digits" / run.info.run_id / "artifacts"
    assert (artifacts / "file.txt").read_text() == "kept"
    assert mlflow.artifacts.load_text(f"{run.info.artifact_uri}/file.txt") == "kept"
    assert [path.name for path in tmp_path.iterdir()] == [folder]


def test_what_somebody_keeps_in_the_folder_of_the_encoded_name_stays(tmp_path: Path) -> None:
    kept = tmp_path / "My%20Projects" / "notes.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    usable_uri(f"sqlite:///{tmp_path}/My%20Projects/mlflow.db")
    assert kept.read_text() == "mine"


@pytest.mark.parametrize("name", ["digits", "My experiment", "v1.2-rc", "Größe", "x" * 200])
def test_a_simple_name_is_the_folders(name: str) -> None:
    assert folder_name(name) == name


CLIMBING = ["/Shared/team/digits", "../../x", ".", "..", "/", "", "a\\b", "C:x", "a/b", "a:b", "con/../../etc"]
HOSTILE = [
    *CLIMBING,
    "x" * 201,
    "é" * 101,
    "日" * 90,
    "a\nb",
    "a\0b",
    "a~b",
    "a*b",
    "x.",
    "x ",
    " x",
    "~root",
    "\udcff",
]
HOSTILE += [unicodedata.normalize("NFD", "é")]  # on some file systems the same folder as é


@pytest.mark.parametrize("name", HOSTILE)
def test_any_other_name_stays_one_folder_below_mlruns(name: str, tmp_path: Path) -> None:
    folder = folder_name(name)
    assert Path(folder).name == folder
    assert len(folder.encode()) <= 255
    assert not set(folder) & set('/\\:*?"<>|\n\0')
    location = artifact_location(f"sqlite:///{tmp_path}/mlflow.db", name)
    assert location is not None
    assert mlflow.artifacts.list_artifacts(location) == []  # MLflow can read it
    (tmp_path / "mlruns" / folder).mkdir(parents=True)
    assert (tmp_path / "mlruns" / folder).as_uri() == location


def test_two_names_never_share_a_folder() -> None:
    names = [*HOSTILE, "a_b", folder_name("a/b"), folder_name(folder_name("a/b")), "é"]
    assert len({folder_name(name) for name in names}) == len(set(names))


def test_a_readable_part_is_left() -> None:
    assert folder_name("/Shared/team/digits").startswith("Shared_team_digits~")


@pytest.mark.parametrize(
    ("revision", "advice"),
    [
        ("0584bdc529eb", "An older MLflow has made it. Copy it as a backup, then run: mlflow db upgrade '{uri}'"),
        ("f00f00f00f00", "A newer MLflow than this one ({version}) has made it: use that one."),
    ],
)
def test_a_database_of_another_mlflow(revision: str, advice: str, tmp_path: Path, empty_database: Path) -> None:
    file = tmp_path / "my store.db"
    shutil.copy(empty_database, file)
    with sqlite3.connect(file) as database:
        database.execute("UPDATE alembic_version SET version_num = ?", [revision])
    database.close()
    before = file.read_bytes()
    uri = f"sqlite:///{file}"
    mlflow.set_tracking_uri(uri)
    with pytest.raises(UserError) as caught:
        connect()
    expected = advice.format(uri=uri, version=mlflow.__version__)
    assert str(caught.value).startswith(f"The tracking store {uri} cannot be used: ")
    assert str(caught.value).endswith(expected)
    assert "MLFLOW_TRACKING_URI" not in str(caught.value)  # another file would be an empty history
    assert file.read_bytes() == before


def test_a_missing_driver_is_named_with_its_package() -> None:
    mlflow.set_tracking_uri("postgresql://me:secret@127.0.0.1:9/mlflow")
    with pytest.raises(UserError) as caught:
        connect()
    assert str(caught.value) == (
        "The tracking store postgresql://me:***@127.0.0.1:9/mlflow cannot be used: No module named 'psycopg'. "
        "The store needs a package that is not installed: pip install 'psycopg[binary]'"
    )


def test_a_folder_that_is_not_there_yet_is_made_as_mlflow_makes_it(tmp_path: Path, empty_database: Path) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/new%20one/mlflow.db")
    connect()
    assert (tmp_path / "new one" / "mlflow.db").exists()
    assert not (tmp_path / "new%20one").exists()


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("http://me:secret@host/path", "http://me:***@host/path"),
        ("postgresql+psycopg://me:s%40cret@host/db", "postgresql+psycopg://me:***@host/db"),
        ("sqlite:////srv/My%20Projects/m.db", "sqlite:////srv/My%20Projects/m.db"),
        ("databricks", "databricks"),
    ],
)
def test_a_password_is_not_shown(uri: str, expected: str) -> None:
    assert shown(uri) == expected
