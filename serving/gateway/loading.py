"""Loading a version's code, whatever that code does."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import Any

from mlflow.pyfunc import load_model

from serving.gateway.champion import LOAD_SECONDS
from serving.gateway.trial import try_to_load

logger = logging.getLogger(__name__)

OF_MLFLOW = "_MLFLOW_"  # begins the names of variables that MLflow keeps for itself, and sets or drops at any time


class Loader:
    """Loads models into this process, which stays as it was when the loader was made.

    Each is tried in a process of its own first. One that has passed is not tried again, so a rollback is quick.
    """

    def __init__(self) -> None:
        self._passed: set[str] = set()
        self._folder = _working_directory()
        self._variables = _variables()
        self._streams = sys.stdout, sys.stderr

    def load(self, folder: Path, name: str) -> Any:
        """The pyfunc model in `folder`.

        Args:
            folder: Of the model.
            name: By which it is known again; it stands for the same files always.

        Raises:
            TrialError: It does not load, or not within LOAD_SECONDS.
        """
        if name not in self._passed:
            try_to_load(folder, LOAD_SECONDS)
            self._passed.add(name)
        try:
            return load_model(str(folder))
        finally:
            # MLflow adds the folder of the version's code, which is gone soon. Others may be loading at the same time.
            sys.path[:] = [place for place in sys.path if not Path(place).is_relative_to(folder)]
            self._restore(name)

    def _restore(self, name: str) -> None:
        """Undoes what the version did to the process, and says it."""
        changed = []
        if _working_directory() != self._folder:
            os.chdir(self._folder)
            changed.append("the working directory")
        if (variables := _variables()) != self._variables:
            changed.append("the environment")
            for variable in variables.keys() - self._variables.keys():
                del os.environ[variable]
            os.environ.update(self._variables)
        if (sys.stdout, sys.stderr) != self._streams:
            sys.stdout, sys.stderr = self._streams
            changed.append("the standard streams")
        if changed:
            logger.warning("%s changed %s while it was loaded; that was undone.", name, " and ".join(changed))


def _variables() -> dict[str, str]:
    """The environment, as far as it is the gateway's own."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OF_MLFLOW)}


def _working_directory() -> str:
    """Empty where somebody removed it."""
    with contextlib.suppress(FileNotFoundError):
        return str(Path.cwd())
    return ""
