"""The served model: one file for every task, logged as code and run by MLflow's scoring server.

It needs mlflow, numpy, onnxruntime and pillow, and nothing of this project, so it is imported neither by name nor
together with another model's copy.
"""

import base64
import binascii
import io
import logging
import math
from typing import Any

import numpy as np
import onnxruntime
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc.model import PythonModel
from PIL import Image

# MLflow warns that it will not look into a union of types. That is what is wanted here: see predict.
logging.getLogger("mlflow.types.type_hints").setLevel(logging.ERROR)

# What the ONNX types that tasks use are called in numpy.
DTYPES: dict[str, np.dtype] = {"tensor(uint8)": np.dtype(np.uint8), "tensor(float)": np.dtype(np.float32)}
IMAGE_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


class OnnxModel(PythonModel):
    """Runs `model.onnx`. The shape and type of one item are read from the graph, preprocessing is inside it."""

    def load_context(self, context: Any) -> None:
        self._session = onnxruntime.InferenceSession(context.artifacts["onnx"], providers=["CPUExecutionProvider"])
        graph_input = self._session.get_inputs()[0]
        self._input_name = graph_input.name
        self._shape = tuple(graph_input.shape[1:])  # of one item, without the batch
        self._dtype = DTYPES[graph_input.type]

    # The hint makes MLflow hand over what stands under "inputs" as it is. With a tensor signature it would copy nested
    # lists number by number, which takes most of a request's time, and would refuse strings.
    def predict(self, context: Any, model_input: list[list[Any] | str], params: Any = None) -> np.ndarray:
        """The model's outputs for a list of items.

        Args:
            context: Not used.
            model_input: Items, each either raw values as nested lists or an array of the item's shape, or one string:
                base64 of a PNG or JPEG file of the item's size, or of the raw values in C order, little-endian.
            params: Not used.

        Returns:
            Outputs of shape (items, ...).

        Raises:
            MlflowException: BAD_REQUEST, the message says what was expected and what came.
        """
        if not model_input:
            raise _bad("expected at least one item, received none")
        batch = np.stack([self._item(item) for item in model_input])
        outputs = self._session.run(None, {self._input_name: batch})[0]
        if not np.isfinite(outputs).all():
            raise _bad("the model has no finite answer for this input")
        return outputs

    def _item(self, item: Any) -> np.ndarray:
        """One item as an array of the graph's shape and type."""
        return self._decoded(item) if isinstance(item, str) else self._checked(item)

    def _checked(self, item: Any) -> np.ndarray:
        try:
            values = np.asarray(item)
        except ValueError:
            raise _bad(f"expected an item of shape {self._shape}, received a ragged list") from None
        if values.shape != self._shape:
            raise _bad(f"expected an item of shape {self._shape}, received {values.shape}")
        if values.dtype == self._dtype:
            exact = values
        elif values.dtype.kind in "iuf":
            exact = self._converted(values)
        else:
            raise _bad("expected numbers only")
        if not np.isfinite(exact).all():
            raise _bad("expected finite numbers only")
        return exact

    def _converted(self, values: np.ndarray) -> np.ndarray:
        if self._dtype.kind == "f":
            with np.errstate(over="ignore"):  # too large a number becomes infinite, which is refused
                return values.astype(self._dtype)
        bounds = np.iinfo(self._dtype)
        # A NaN fails every comparison, so it is refused here too.
        if not ((values >= bounds.min) & (values <= bounds.max) & (values == np.floor(values))).all():
            raise _bad(f"expected whole numbers from {bounds.min} to {bounds.max}")
        return values.astype(self._dtype)

    def _decoded(self, text: str) -> np.ndarray:
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise _bad("expected a string to be base64") from None
        if len(self._shape) in (2, 3) and data.startswith(IMAGE_SIGNATURES):
            return self._image(data)
        expected = math.prod(self._shape) * self._dtype.itemsize
        if len(data) != expected:
            raise _bad(f"expected a PNG, a JPEG or {expected} bytes of raw values, received {len(data)} bytes")
        return self._checked(np.frombuffer(data, self._dtype.newbyteorder("<")).reshape(self._shape))

    def _image(self, data: bytes) -> np.ndarray:
        """A PNG or JPEG file as grey (height, width) or RGB (height, width, 3) pixels."""
        grey = len(self._shape) == 2
        height, width = self._shape[:2]
        try:
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
                if image.size != (
                    width,
                    height,
                ):  # known before anything is decoded: a small file can hold a huge image
                    raise _bad(
                        f"expected an image of {width}×{height} pixels, received {image.size[0]}×{image.size[1]}"
                    )
                if image.mode not in ("1", "L", "P", "RGB") or image.has_transparency_data:
                    raise _bad(f"expected an image of 8 bits without transparency, received mode {image.mode}")
                pixels = np.asarray(image.convert("L" if grey else "RGB"))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise _bad(f"cannot read the image: {error}") from None
        return self._checked(pixels)


def _bad(message: str) -> MlflowException:
    return MlflowException(message, error_code=BAD_REQUEST)


set_model(OnnxModel())
