"""What a registered model takes and gives, in MLflow's words: `mlflow ui` shows it, and programs look it up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

from forms.answer import Answer
from forms.item import Item, Shape
from forms.outputs import Outputs
from served.session import HIDDEN


def signature_of(item: Item, answer: Answer, inputs: Any, graph: Path, served: Outputs) -> ModelSignature:
    """The signature of a model.

    Args:
        item: The form of its items.
        answer: The form of its answers.
        inputs: Some items (N, ...).
        graph: The ONNX file, which knows which sides of an answer may be any.
        served: The served outputs for them, by name where there are several.
    """
    if item.names:
        takes = Schema([ColSpec(_column(value), name) for name, value in item.shown.items()])
    else:
        takes = Schema([_tensor(inputs.dtype, item.shape(inputs))])
    several = isinstance(served, dict)
    gives = [
        _tensor(served[name].dtype if several else served.dtype, shape, name if several else None)
        for name, shape in _shapes(graph).items()
    ]
    params = [ParamSpec(name, DataType.boolean, None) for name in answer.params]  # none: as the model was loaded
    return ModelSignature(takes, Schema(gives), ParamSchema(params) if params else None)  # type: ignore[arg-type]  # MLflow's own stub


def _column(value: Any) -> DataType:
    """The type of a column that has values as this one; numbers as pandas has them."""
    return DataType.string if isinstance(value, str) else DataType.double


def example_of(item: Item, inputs: Any) -> Any:
    """One item as somebody who loads the model in Python may pass it."""
    if item.names:
        return pd.DataFrame([{name: v if isinstance(v, str) else float(v) for name, v in item.shown.items()}])
    return next(way.items for way in item.ways(inputs[:1]) if way.name == "numbers")


def _shapes(graph: Path) -> dict[str, Shape]:
    """Of each output by its name, without the batch."""
    outputs = onnx.load(graph, load_external_data=False).graph.output
    answered = [output for output in outputs if output.name != HIDDEN]
    sides = {output.name: list(output.type.tensor_type.shape.dim)[1:] for output in answered}
    return {name: tuple(side.dim_value or None for side in of_output) for name, of_output in sides.items()}


def _tensor(dtype: Any, shape: Shape, name: str | None = None) -> TensorSpec:
    """An array with a row an item."""
    return TensorSpec(np.dtype(dtype), (-1, *(-1 if side is None else side for side in shape)), name)
