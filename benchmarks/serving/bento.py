"""BentoML with the ONNX model. The file is run in an environment of its own; MODEL names model.onnx."""

import os

import bentoml  # type: ignore[import-not-found]
import numpy as np
import onnxruntime


@bentoml.service(workers=1)
class Mnist:
    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, images: np.ndarray) -> np.ndarray:
        return self.session.run(None, {self.input: images.astype(np.uint8)})[0]
