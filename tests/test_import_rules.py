"""Who may import whom. The rooms stay apart, so that each can be read, tested and replaced by itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOMS, ROOT

ALLOWED = {
    "steps": ("steps", "lifecycle", "registry", "serving", "studies", "monitoring", "tasks.contract", "tasks.new"),
    "lifecycle": ("lifecycle", "registry", "serving", "served", "studies", "monitoring", "forms", "tasks.contract"),
    "registry": ("registry", "tasks.contract"),
    "serving": ("serving", "served", "forms", "tasks.contract"),
    "served": (),
    "monitoring": ("monitoring", "pages", "forms", "served", "tasks.contract"),
    "studies": ("studies", "pages", "tasks.contract"),
    "pages": (),
    "forms": (
        "forms",
        "served.classes",
        "served.micrograph_file",
        "served.picture_file",
        "served.volume_file",
        "served.volume_header",
        "served.words",
    ),
    "contract": ("contract", "forms", "served.machine", "tasks"),
    "tasks": ("tasks", "forms", "served.words"),
    "tasks/contract.py": ("contract",),
}
# What the served model, its rehearsal, the container and the gateway need of MLflow; none of it talks to a tracking
# store.
WITHOUT_A_STORE = (
    "mlflow.exceptions",
    "mlflow.models.ModelSignature",
    "mlflow.models.model",
    "mlflow.models.set_model",
    "mlflow.protos",
    "mlflow.pyfunc.load_model",
    "mlflow.pyfunc.model",
    "mlflow.pyfunc.save_model",
    "mlflow.pyfunc.scoring_server",
    "mlflow.types",
)
# What the record of traffic is sent to an object store by.
ARTIFACTS = "mlflow.store.artifact.artifact_repository_registry"
ALL = ("mlflow",)
MAY_USE_MLFLOW = {
    "steps": ALL,
    "lifecycle": ALL,
    "registry": ALL,
    "serving": WITHOUT_A_STORE,
    "served": (*WITHOUT_A_STORE, ARTIFACTS),
    "monitoring": (),
    "studies": (),
    "pages": (),
    "forms": (),
    "contract": (),
    "tasks": (),
}


def imports(path: Path) -> Iterator[str]:
    """The dotted names that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level == 1 and path.parent.name == "served":
                continue  # of its own room, which bears another name where it ships
            assert node.level == 0, f"{path}: relative imports hide what is imported"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, allowed: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in allowed)


def breaches(root: Path) -> list[str]:
    """Every import that breaks a rule, as "file imports name"."""
    packages = {path.parent.name for path in root.glob("tasks/*/__init__.py")}
    folders = tuple(f"tasks.{name}" for name in packages)
    found = []
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            own_folder = "tasks." + path.relative_to(root).parts[1]
            for name in imports(path):
                ours = name.split(".")[0] in (*ROOMS, "tests", "benchmarks")
                allowed = ALLOWED.get(path.relative_to(root).as_posix(), ALLOWED[room])
                wrong = (
                    (ours and not within(name, allowed))
                    or (within(name, ("mlflow",)) and not within(name, MAY_USE_MLFLOW[room]))
                    or (within(name, folders) and not within(name, (own_folder,)))
                )
                if wrong:
                    found.append(f"{path.relative_to(root)} imports {name}")
    return found


def test_the_project_keeps_the_rules() -> None:
    assert breaches(ROOT) == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("steps/train.py", "import tasks.sources"),
        ("steps/train.py", "from tasks import sources"),
        ("steps/train.py", "from tasks.mnist import TASK"),
        ("lifecycle/training.py", "from steps import cli"),
        ("lifecycle/training.py", "from tasks.mnist import TASK"),
        ("registry/gate.py", "from lifecycle import runs"),
        ("registry/gate.py", "from serving import package"),
        ("serving/package.py", "from registry import gate"),
        ("serving/package.py", "import mlflow"),
        ("serving/package.py", "from mlflow import MlflowClient"),
        ("serving/package.py", "from lifecycle.runs import connect"),
        ("forms/item.py", "from tasks.contract import Task"),
        ("forms/item.py", "from serving import package"),
        ("forms/item.py", "from served.model import OnnxModel"),
        ("served/model.py", "from forms import item"),
        ("served/model.py", "from mlflow import MlflowClient"),
        ("serving/package.py", f"from {ARTIFACTS} import get_artifact_repository"),
        ("forms/item.py", "import mlflow"),
        ("contract/task.py", "from serving.package import package"),
        ("monitoring/record.py", "import mlflow"),
        ("monitoring/record.py", "from lifecycle import runs"),
        ("studies/report.py", "import mlflow"),
        ("studies/report.py", "from lifecycle import runs"),
        ("contract/task.py", "from registry.gate import decide"),
        ("contract/task.py", "from tasks.mnist import TASK"),
        ("tasks/mnist/data.py", "from contract.task import Task"),
        ("lifecycle/training.py", "from contract.task import Task"),
        ("tasks/mnist/data.py", "import mlflow"),
        ("tasks/mnist/data.py", "def load():\n    from mlflow.data import from_numpy"),
        ("tasks/mnist/data.py", "from tasks.digits.data import load"),
    ],
)
def test_a_broken_rule_is_found(tmp_path: Path, file: str, line: str) -> None:
    for name in ("tasks/mnist/__init__.py", "tasks/digits/__init__.py", file):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / file).write_text(line)
    assert [breach.split(" imports ")[0] for breach in breaches(tmp_path)] == [file]


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("steps/train.py", "from tasks.contract import get_task\nfrom registry import gate\nimport mlflow"),
        ("registry/ledger.py", "from mlflow import MlflowClient"),
        ("served/model.py", "from mlflow.pyfunc.model import PythonModel"),
        ("tasks/mnist/data.py", "from tasks.mnist import labels\nfrom tasks.sources import fetch"),
        ("tasks/mnist/__init__.py", "from forms.items.ink import Ink"),
    ],
)
def test_what_is_allowed_passes(tmp_path: Path, file: str, line: str) -> None:
    (tmp_path / "tasks/mnist").mkdir(parents=True)
    (tmp_path / "tasks/mnist/__init__.py").touch()
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(line)
    assert breaches(tmp_path) == []
