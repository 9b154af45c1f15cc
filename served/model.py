"""The model as MLflow's scoring server runs it: reads items, runs the network, writes answers."""

import gc
import logging
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from mlflow.pyfunc.model import PythonModel

from .metrics import Metrics, serve_metrics
from .pictures import Painted, Pictures, PicturesOfAnySize
from .refusal import Refused
from .session import Session
from .values import Named, Numbers, Values

# MLflow warns that it will not look into a union of types. That is what is wanted here: see predict.
logging.getLogger("mlflow.types.type_hints").setLevel(logging.ERROR)

# By the names that the metadata of the item's and the answer's form have for them.
READERS = {"values": Values, "pictures": Pictures, "pictures of any size": PicturesOfAnySize}
WRITERS = {"numbers": Numbers, "pictures": Painted}


class OnnxModel(PythonModel):
    """Runs `model.onnx`. The shape and type of one item are read from the graph, preprocessing is inside it.

    In a scoring server it also tells Prometheus what it does.
    """

    def load_context(self, context: Any) -> None:
        onnx = Path(context.artifacts["onnx"])
        folder = onnx.parent.parent
        metadata = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))["metadata"]
        self._session = Session(onnx)
        self._reader = READERS[metadata["item"]["reader"]](self._session.shape, self._session.dtype)
        self._writer = writer_of(metadata["answer"])
        self._writer.check(self._session.outputs)
        self.any_size = self._reader.any_size
        self._one_picture = threading.Lock()
        self._metrics: Metrics | None = None
        self._settled = True
        if "__pyfunc_model_path__" in os.environ:  # how MLflow tells its scoring server what to load
            self._metrics = serve_metrics(folder, metadata["answer"]["counted"])
            self._settled = False

    # The hint makes MLflow hand over what stands under "inputs" as it is. With a tensor signature it would copy nested
    # lists number by number, which takes most of a request's time, and would refuse strings.
    def predict(
        self, context: Any, model_input: list[list[Any] | str], params: Any = None
    ) -> np.ndarray | list[np.ndarray | str] | dict[str, np.ndarray | list[np.ndarray | str]]:
        """The model's outputs for a list of items.

        Args:
            context: Not used.
            model_input: Items, each either raw values as nested lists or an array of the item's shape, or one string:
                base64 of the raw values in C order, little-endian, or where items are pictures, of a PNG or JPEG file
                of the item's size. Pictures of any size, where that is what the model takes, come as files or as
                values (H, W, 3).
            params: Not used.

        Returns:
            Outputs of shape (items, ...). Of pictures of any size a list: each picture as values (H, W, 3) uint8, or
            where it came as a file, as base64 of a PNG file. A dictionary of these where the model gives several.

        Raises:
            MlflowException: BAD_REQUEST, the message says what was expected and what came; INTERNAL_ERROR where the
                model itself failed.
        """
        if not self._settled:
            # All that the server needs is loaded by now. Every full garbage collection would walk through it, some
            # 70 ms in the middle of a request.
            gc.freeze()
            self._settled = True
        if self._metrics is None:
            return self._answer(model_input)
        return self._metrics.observed(self._answer, model_input)

    def _answer(self, items: Any) -> Any:
        if not isinstance(items, list | np.ndarray):
            raise Refused("type", f"expected a list of items, received {type(items).__name__}")
        if len(items) == 0:
            raise Refused("empty", "expected at least one item, received none")
        batches = self._reader.batches(items)
        if not self.any_size:
            return self._values(batches[0])
        answers = [self._one(batch, isinstance(item, str)) for batch, item in zip(batches, items, strict=True)]
        return self._writer.together(answers)

    def _one(self, batch: np.ndarray, as_file: bool) -> Any:
        """The answer to the one item of a batch."""
        with self._one_picture:  # a few large ones at once would take gigabytes
            values = self._values(batch)
        return self._writer.one(values, as_file)

    def _values(self, batch: np.ndarray) -> Any:
        outputs = self._session.run(batch)
        if not all(np.isfinite(one).all() for one in outputs.values()):
            raise Refused("range", "the model has no finite answer for this input")
        return self._writer.values(outputs)


def writer_of(answer: dict[str, Any]) -> Numbers | Named:
    """What writes the answer that metadata describe."""
    if "answers" in answer:
        return Named({name: WRITERS[one["writer"]]() for name, one in answer["answers"].items()})
    return WRITERS[answer["writer"]]()
