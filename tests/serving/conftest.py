"""A model as it is registered, for the tests of what serves it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import keras
import mlflow
import psutil
import pytest
from flask.testing import FlaskClient
from mlflow.pyfunc import PyFuncModel

from serving.gateway import challenger
from serving.gateway.app import create_app
from serving.gateway.champion import Champion
from serving.package import package
from tasks.contract import get_task
from tests.conftest import MakeOnce
from tests.serving.asking import Alias, release


@pytest.fixture(scope="session")
def saved(made_once: MakeOnce) -> Path:
    """A model of digits that was not trained. Not to be changed."""

    def fill(folder: Path) -> None:
        task = get_task("digits")
        keras.utils.set_random_seed(1)
        packaged = package(task, task.build(task.configure()), task.load("validation"), folder)
        packaged.save_model(folder / "model")

    return made_once("saved", fill) / "model"


@pytest.fixture
def model(saved: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


@pytest.fixture
def fake_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a model, whose `code.py` is what its loading runs in a challenger's process and has its `predict`.
    MLflow itself takes two seconds to be imported."""
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "__init__.py").touch()
    (tmp_path / "mlflow" / "pyfunc.py").write_text(FAKE)
    monkeypatch.setattr(challenger, "ROOT", f"{tmp_path}{os.pathsep}{challenger.ROOT}")
    return tmp_path


def servers(model: Path) -> list[int]:
    """The processes that serve this model: MLflow names it in their environment or their arguments."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), process.environ().get("__pyfunc_model_path__", "")]
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        if process.pid != os.getpid() and any(str(model) in word for word in words):
            found.append(process.pid)
    return found


TASK = get_task("digits")
FAKE = """
from types import SimpleNamespace

def load_model(folder):
    names = {}
    exec(open(folder + '/code.py').read(), names)
    return SimpleNamespace(**names)
"""


@pytest.fixture
def alias() -> Alias:
    return Alias()


@pytest.fixture(scope="module")
def served(saved: Path) -> PyFuncModel:
    return mlflow.pyfunc.load_model(str(saved))


@pytest.fixture
def champion(served: PyFuncModel, alias: Alias) -> Champion:
    return Champion(
        lambda: alias.version,
        lambda version: release(version, served.predict),
    )


@pytest.fixture
def client(champion: Champion) -> FlaskClient:
    champion.refresh()
    return create_app(TASK, champion).test_client()
