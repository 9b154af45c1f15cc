"""What people read holds: commands, links, names, tables and code of README, docs/ and the tasks' pages."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from mlflow.utils.search_utils import SearchUtils

from tasks.contract import get_task, task_names
from tests import conftest
from tests.commands import PROJECT, WrongCommandError, check, exists, parameters, written_tasks
from tests.documents import ROOT, SHELLS, Block, Document, documents, split

DOCUMENTS = documents()
README = Document(ROOT / "README.md")
MOST_BYTES = 8_000  # what is read in five minutes
ROOMS = "|".join((*conftest.ROOMS, "benchmarks", "docs", "tests"))


@pytest.fixture(params=DOCUMENTS, ids=[str(document.path.relative_to(ROOT)) for document in DOCUMENTS])
def document(request: pytest.FixtureRequest) -> Document:
    found: Document = request.param
    return found


def problem(command: tuple[str, ...], alone: bool = False) -> str | None:
    """What is wrong with a command."""
    try:
        check(command, alone)
    except WrongCommandError as error:
        return str(error)
    return None


def test_commands_do_what_they_say(document: Document) -> None:
    assert [text for command in document.commands if (text := problem(command))] == []


def test_commands_that_are_copied_need_no_conda(document: Document) -> None:
    copied = [command for block in document.blocks if block.language in SHELLS for command in block.commands]
    assert [text for command in copied if (text := problem(command, alone=True))] == []


def test_links_lead_somewhere(document: Document) -> None:
    for target in document.links:
        name, _, anchor = target.partition("#")
        path = document.path.parent / name if name else document.path
        assert path.exists(), target
        assert not anchor or anchor in Document(path).anchors, target


def test_files_that_are_named_exist(document: Document) -> None:
    named = [span for span in document.spans if re.fullmatch(rf"({ROOMS})/[\w./-]*", span)]
    assert [path for path in named if not exists(path)] == []


def test_names_of_tasks_models_and_studies_are_known(document: Document) -> None:
    tasks = [get_task(name) for name in task_names()]
    known = {
        "task": {task.name for task in tasks} | written_tasks(),
        "model": {name for task in tasks for name in task.models},
        "study": {name for task in tasks for name in task.studies} | {"all", "search"},
    }
    for span in document.spans:
        for key, name in re.findall(r"(?:^|-P )(task|model|study)=(\w+)", span):
            assert name in known[key] | {"default"}, span


def test_code_can_be_read(document: Document) -> None:
    for block in document.blocks:
        for script in block.scripts:
            compile(script, str(document.path), "exec")
        if block.language == "yaml":
            yaml.safe_load(block.text)
        if block.language == "json":
            json.loads(block.text)


def test_the_readme_is_short() -> None:
    assert len(README.path.read_bytes()) <= MOST_BYTES


def test_the_readme_lists_every_entry_point_with_its_defaults() -> None:
    rows = README.rows("entry point")
    assert list(rows) == [f"`{name}`" for name in PROJECT["entry_points"]]
    for name in PROJECT["entry_points"]:
        listed = dict(re.findall(r"`(\w+)=([^`]*)`", rows[f"`{name}`"].split("|")[1]))
        defaults = parameters(name).items()
        expected = {key: "<…>" if value is None else str(value) or '""' for key, value in defaults}
        assert {key: re.sub("^<.*>$", "<…>", value) for key, value in listed.items()} == expected


def test_the_readme_lists_tasks_with_their_models() -> None:
    """A task that only this copy has need not be among them."""
    for cell, rest in README.rows("task").items():
        (name,) = re.findall(r"`(\w+)`", cell)
        assert re.findall(r"`(\w+)`", rest.split("|")[0]) == list(get_task(name).models)


def test_the_readme_shows_every_folder() -> None:
    listed = {cell.strip("`/") for cell in README.rows("folder")}
    assert listed == {path.name for path in ROOT.iterdir() if path.is_dir() and path.name in ROOMS.split("|")}


def test_the_studies_that_are_listed_are_those_there_are() -> None:
    listed = Document(ROOT / "docs/studies.md").rows("task")
    there = {name: list(get_task(name).studies) for name in task_names()}
    assert {cell.strip("`"): re.findall(r"`(\w+)`", rest) for cell, rest in listed.items()} == {
        name: studies for name, studies in there.items() if studies
    }


def test_every_alert_is_explained() -> None:
    rules = yaml.safe_load((ROOT / "serving/monitoring/alerts.yml").read_text())["groups"][0]["rules"]
    assert list(Document(ROOT / "docs/operate.md").rows("alert")) == [f"`{rule['alert']}`" for rule in rules]


def test_searches_for_runs_can_be_searched_for() -> None:
    for cell in Document(ROOT / "docs/operate.md").rows("to see").values():
        (query,) = re.findall(r"``(.*)``|`([^`]*)`", cell)
        assert SearchUtils.parse_search_filter("".join(query))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "command",
    [
        "mlflow run . -e trian",
        "mlflow run . -e train -P batch-size=64",
        "mlflow run . -e train -P batch_size=many",
        "mlflow run . -e train -P task=minst",
        "mlflow run . -e train -P model=resnet",
        "mlflow run . -e train -P overrides=droput=0.5",
        "mlflow run . -e compare -P study=optimisers",
        "mlflow run . -e build -P variant=small",
        "mlflow run . -e stylize -P content=photo.jpg",
        "mlflow run . --environment local",
        "mlflow models server -m models:/mnist@champion",
        "mlflow models serve --modell-uri models:/mnist@champion",
        "python -m steps.trian --task mnist",
        "python -m steps.train --batch_size 64",
        "python -m steps.train --batch_size <number>",
        "python -m benchmarks.train_sped",
        "python -m benchmarks.train_speed --repeat 5",
        "python -m pytest -m 'dcoker or slow'",
        "python -m pytest tests/test_nothing.py",
        "python benchmarks/plain_minst.py",
        "pip install -r requirement.txt",
        "make all",
        "sudo make run",
    ],
)
def test_a_wrong_command_is_found(command: str) -> None:
    (words,) = split(command)
    with pytest.raises(WrongCommandError):
        check(words)


def test_a_block_is_read_as_the_shell_reads_it() -> None:
    block = Block("sh", "a <b c> \\\n  -x 'y z' | d && e  # f\npython - <<'END'  # g\nh = 1\nEND\n")
    assert list(block.commands) == [("a", "…", "-x", "y z"), ("d",), ("e",), ("python", "-", "<<END")]
    assert block.scripts == ["h = 1\n"]


def test_a_command_that_needs_conda_is_found() -> None:
    with pytest.raises(WrongCommandError, match="conda"):
        check(("mlflow", "run", ".", "-e", "train"), alone=True)


@pytest.mark.slow
def test_the_task_that_the_guide_builds_goes_through_its_life(tmp_path: Path) -> None:
    """Its own tests, the contract's, and `main` to a champion, in a copy of the project."""
    for folder in (*conftest.ROOMS, "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    guide = Document(ROOT / "docs/add-a-task.md").files | {"tests/tasks/tumours/__init__.py": ""}
    for name, text in guide.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    tests = ["pytest", "-n", "0", "-q", "tests/test_task_contract.py", "tests/tasks/tumours", "-k", "tumours"]
    for arguments in (tests, ["steps.main", "--task", "tumours"]):
        command = [sys.executable, "-m", *arguments]
        result = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr
    assert "models:/tumours@champion is version 1." in result.stdout


@pytest.mark.slow
def test_the_tutorial_goes_from_a_table_to_a_champion(tmp_path: Path) -> None:
    """Every command of docs/your-data.md, in a copy of the project, but for the servers, which do not end."""
    for folder in (*conftest.ROOMS, "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("MLproject", "conda.yaml", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    said = ""
    for block in Document(ROOT / "docs/your-data.md").blocks:
        if block.language == "sh" and "serve" not in block.text:
            result = subprocess.run(
                ["bash", "-e"],
                cwd=tmp_path,
                env=environment,
                input=block.text,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            assert result.returncode == 0, result.stdout + result.stderr
            said += result.stdout
    assert "wrote tasks/tumours/__init__.py" in said
    assert "models:/tumours@champion is version 1." in said
    assert "benign  malignant\n" in said  # the table's columns are the labels
    assert "models:/mine@champion is version 1." in said
