"""The network, run by ONNX Runtime."""

import logging
import os
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # ONNX Runtime reports to its makers; read when it is imported

import numpy as np
import onnxruntime
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR

from .machine import cpus, is_one_of_several

logger = logging.getLogger("uvicorn.error")  # the scoring server shows it, and no other

# What the ONNX types that tasks use are called in numpy.
DTYPES: dict[str, np.dtype] = {"tensor(uint8)": np.dtype(np.uint8), "tensor(float)": np.dtype(np.float32)}
HIDDEN = "hidden layer"  # a further output of the graph, of the last one, which is not answered
SAMPLE_SIDE = 32  # of an item whose sides may be any


class Session:
    """A graph that is loaded and was run once.

    Args:
        path: Of the graph.
        keeps_memory: Whether what a run took is kept for the next, which is quicker.

    Attributes:
        outputs: The names of those that are answered.
        has_hidden: Whether the graph also gives its last hidden layer.
        shape: Of one item, without the batch; a side that may be any has a name in the graph, and here is None.
        dtype: Of one item.
    """

    def __init__(self, path: Path, keeps_memory: bool = True) -> None:
        options = onnxruntime.SessionOptions()
        # Threads that spin while they wait take the cores from the server's other threads and workers.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.enable_cpu_mem_arena = keeps_memory
        options.intra_op_num_threads = 1 if is_one_of_several() else cpus()
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        (graph_input,) = self._session.get_inputs()
        names = [output.name for output in self._session.get_outputs()]
        self.outputs = [name for name in names if name != HIDDEN]
        self.has_hidden = HIDDEN in names
        self._input = graph_input.name
        self.shape = tuple(side if isinstance(side, int) else None for side in graph_input.shape[1:])
        self.dtype = DTYPES[graph_input.type]
        # The first run takes longer; it is not a user's.
        self.run(np.zeros([1, *(side or SAMPLE_SIDE for side in self.shape)], self.dtype))

    def run(self, batch: np.ndarray, hidden: bool = False) -> dict[str, np.ndarray]:
        """The outputs (N, ...) by name for items (N, ...).

        Args:
            batch: The items.
            hidden: Whether the last hidden layer is wanted, too, where there is one; else it is not fetched.

        Raises:
            MlflowException: INTERNAL_ERROR, it failed.
        """
        names = [*self.outputs, HIDDEN] if hidden and self.has_hidden else self.outputs
        try:
            return dict(zip(names, self._session.run(names, {self._input: batch}), strict=True))
        except Exception as error:  # ONNX Runtime has no common class of its own
            logger.exception("The model failed on a batch of shape %s.", batch.shape)
            raise MlflowException("the model failed", error_code=INTERNAL_ERROR) from error
