"""The last hidden layer of an exported graph, as a further output: it is computed on the way, and costs only whoever
asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from served.session import HIDDEN

LEARNT = {"Gemm", "MatMul", "Conv", "ConvTranspose", "Einsum"}  # operations of layers that have weights
MOST_UNITS = 4096  # what is kept of more would take too much of the model's files


def expose_hidden(path: Path, output: str) -> None:
    """Has the graph in `path` give what goes into the last layer with weights before an output, where that is one
    vector an item.

    Args:
        path: Of the graph, which is written anew.
        output: The name of its output; empty where it has one.
    """
    import onnx

    model = onnx.load(path)
    tensor = _before_last_layer(model.graph, output or model.graph.output[0].name)
    if tensor is None:
        return
    model.graph.node.append(onnx.helper.make_node("Identity", [tensor], [HIDDEN]))
    model.graph.output.append(onnx.helper.make_tensor_value_info(HIDDEN, onnx.TensorProto.FLOAT, None))
    if units := _units(model.SerializeToString()):
        model.graph.output.pop()
        model.graph.output.append(onnx.helper.make_tensor_value_info(HIDDEN, onnx.TensorProto.FLOAT, [None, units]))
        onnx.save(model, path)


def _before_last_layer(graph: Any, output: str) -> str | None:
    """The tensor that the last layer with weights before `output` is fed with; None where there is none."""
    makers = {name: node for node in graph.node for name in node.output}
    weights = {one.name for one in graph.initializer}
    seen, waiting = set(), [output]
    while waiting:
        node = makers.get(waiting.pop(0))
        if node is None or node.name in seen:
            continue
        seen.add(node.name)
        if node.op_type in LEARNT and weights.intersection(node.input):
            return next((name for name in node.input if name not in weights), None)
        waiting.extend(node.input)
    return None


def _units(graph: bytes) -> int:
    """How many units the hidden layer has; 0 where it is not one vector an item, or has more than MOST_UNITS. ONNX
    Runtime is asked about two items."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        (taken,) = session.get_inputs()
        kind = np.uint8 if taken.type == "tensor(uint8)" else np.float32
        (values,) = session.run([HIDDEN], {taken.name: np.zeros([2, *taken.shape[1:]], kind)})
    except Exception:  # of ONNX Runtime, which has no common class of its own: the tensor is none of floats
        return 0
    is_vector = values.ndim == 2 and len(values) == 2 and values.shape[1] <= MOST_UNITS
    return int(values.shape[1]) if is_vector else 0
