"""Served models whose graphs are small enough to know the answer."""

from __future__ import annotations

import base64
import io
import json
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image

from served.model import OnnxModel

NUMBERS: dict[str, Any] = {"writer": "numbers", "counted": {}}
PICTURES: dict[str, Any] = {"writer": "pictures", "counted": {}}


def loaded(
    folder: Path,
    element: int,
    shape: tuple[int | str, ...],
    reader: str,
    answer: dict[str, Any] = NUMBERS,
    outputs: tuple[str, ...] = ("doubled",),
) -> OnnxModel:
    """A model that gives its input doubled or as it is, and whose metadata say how items are read and answers are
    written."""
    folder = Path(tempfile.mkdtemp(dir=folder))
    (folder / "artifacts").mkdir()
    (folder / "MLmodel").write_text(json.dumps({"metadata": {"item": {"reader": reader}, "answer": answer}}))
    inputs = [helper.make_tensor_value_info("x", element, ["n", *shape])]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape]) for name in outputs]
    nodes = [
        helper.make_node("Cast", ["x"], ["same"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["same", "same"], ["doubled"]),
    ]
    opset = [helper.make_opsetid("", 17)]
    graph = helper.make_model(helper.make_graph(nodes, "graph", inputs, results), opset_imports=opset)
    graph.ir_version = 8
    path = folder / "artifacts" / "model.onnx"
    onnx.save(graph, path)
    model = OnnxModel()
    model.load_context(SimpleNamespace(artifacts={"onnx": str(path)}, model_config=None))
    return model


def encoded(picture: np.ndarray | Image.Image, **options: Any) -> str:
    buffer = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(buffer, **({"format": "PNG"} | options))
    return base64.b64encode(buffer.getvalue()).decode()


def raw(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()
