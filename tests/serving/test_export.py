"""What is exported answers as the Keras model does, and what cannot be exported is told in a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from serving.export import ExportError, export
from serving.package import run_onnx

PICTURES = np.random.default_rng(1).integers(0, 256, (20, 8, 8, 3), np.uint8)
VALUES = PICTURES.astype(np.float32) / 16


def adapted(**options: Any) -> layers.Normalization:
    layer = layers.Normalization(**options)
    layer.adapt(VALUES)
    return layer


@keras.saving.register_keras_serializable("test")
class Shifted(layers.Layer):
    """Keeps a tensor that is no weight."""

    def build(self, shape: Any) -> None:
        self.shift = keras.ops.convert_to_tensor([1.0, 2.0, 3.0])

    def call(self, inputs: Any) -> Any:
        return inputs + self.shift


EXPORTED: dict[str, Any] = {
    "adapted": adapted,
    "adapted for all values": lambda: adapted(axis=None),
    "adapted backwards": lambda: adapted(invert=True),
    "given": lambda: layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0]),
    "given for all values": lambda: layers.Normalization(mean=3.0, variance=2.0),
    "tensor of one's own": Shifted,
    "flipped in training": lambda: layers.RandomFlip(),
    "turned in training": lambda: layers.RandomRotation(0.2),
    "contrast in training": lambda: layers.RandomContrast(0.2),
    "dropped in training": lambda: layers.Dropout(0.5),
    "resized": lambda: layers.Resizing(4, 4),
    "approximate gelu": lambda: layers.Activation(lambda x: keras.activations.gelu(x, approximate=True)),
}


@pytest.mark.parametrize("made", EXPORTED)
def test_the_graph_answers_as_the_model(made: str, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((8, 8, 3)), EXPORTED[made](), layers.Flatten(), layers.Dense(2)])
    before = model.predict(VALUES, verbose=0)
    export(model, tmp_path / "model.onnx")
    np.testing.assert_allclose(run_onnx(tmp_path / "model.onnx", VALUES), before, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(model.predict(VALUES, verbose=0), before)  # the model is as it was


def test_a_layer_that_cannot_be_exported_is_named(tmp_path: Path) -> None:
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, layers.Dense(2)(layers.Activation("gelu", name="bend")(inputs)))
    with pytest.raises(ExportError) as caught:
        export(model, tmp_path / "model.onnx")
    assert str(caught.value) == (
        "The model cannot be exported. Its layer 'bend' needs the operation Erfc, which ONNX Runtime does not have. "
        "The exact gelu needs it; "
        "keras.activations.gelu with approximate=True does not."
    )


def test_a_model_of_two_inputs_is_refused(tmp_path: Path) -> None:
    one, other = keras.Input((2,), name="one"), keras.Input((2,), name="other")
    with pytest.raises(ExportError, match="It has the inputs one, other, and models of one input are served"):
        export(keras.Model([one, other], layers.Add()([one, other])), tmp_path / "model.onnx")


def test_a_tensor_from_elsewhere_is_refused(tmp_path: Path) -> None:
    elsewhere = keras.ops.convert_to_tensor([1.0, 2.0])
    inputs = keras.Input((2,))
    with pytest.raises(ExportError, match="It uses a tensor that is neither a weight nor an attribute of a layer"):
        export(keras.Model(inputs, layers.Lambda(lambda x: x + elsewhere)(inputs)), tmp_path / "model.onnx")


def test_a_model_without_known_inputs_is_refused(tmp_path: Path) -> None:
    class Own(keras.Model):
        def call(self, inputs: Any) -> Any:
            return inputs

    with pytest.raises(ExportError, match="Keras does not know its inputs before it is called"):
        export(Own(), tmp_path / "model.onnx")
