"""A model that does nothing: what is left is the time of MLflow's scoring server."""

from __future__ import annotations

from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel


class NoOp(PythonModel):
    """Answers ten zeros, whatever comes."""

    def predict(self, context: Any, model_input: list[list[Any] | str], params: Any = None) -> np.ndarray:
        return np.zeros((1, 10), np.float32)


set_model(NoOp())
