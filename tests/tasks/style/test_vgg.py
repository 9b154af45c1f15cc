from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tasks.contract import UserError
from tasks.sources import SourceError
from tasks.style import vgg


def weighted() -> keras.Model:
    keras.utils.set_random_seed(1)
    return vgg.vgg16()


def averaging(original: keras.Model) -> keras.Model:
    """Up to the layer of content, layer by layer: the same with the mean in place of the largest value."""
    x = original.inputs[0]
    for layer in original.layers[1:]:
        is_pooling = isinstance(layer, keras.layers.MaxPooling2D)
        x = keras.ops.average_pool(x, 2, 2, "valid") if is_pooling else layer(x)
        if layer.name == vgg.CONTENT_LAYER:
            break
    return keras.Model(original.inputs, x)


@pytest.fixture
def picture(flower: np.ndarray) -> np.ndarray:
    return flower[None, :64, :64].astype(np.float32)


@pytest.mark.slow
def test_keras_s_weights_get_what_keras_s_preprocessing_gives(
    picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network takes red, green, blue as they are; its features are those of the original on prepared pixels."""
    original = weighted()
    wanted = averaging(original)
    expected = wanted.predict(keras.applications.vgg16.preprocess_input(picture.copy()), verbose=0)
    monkeypatch.setattr(keras.applications, "VGG16", lambda **_: original)
    found = vgg.oxford().predict(picture, verbose=0)[-1]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
def test_torchvision_s_weights_get_standardised_pixels(
    picture: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they lie in `$DATA_DIR/vgg16/`, in float16; the pixels as torchvision's documentation has them."""
    original = weighted()
    arrays: dict[str, Any] = {}
    for layer in vgg.convolutions(original):
        kernel, bias = (weights.astype(np.float16) for weights in layer.get_weights())
        arrays |= {f"{layer.name}/kernel": kernel, f"{layer.name}/bias": bias}
        layer.set_weights([kernel.astype(np.float32), bias.astype(np.float32)])
    (tmp_path / "vgg16").mkdir()
    np.savez(tmp_path / "vgg16" / vgg.TORCHVISION_FILE, **arrays)
    flat = np.concatenate([arrays[name].ravel() for name in sorted(arrays)])
    monkeypatch.setattr(vgg, "DIGESTS", {"weights": hashlib.sha256(flat.data).hexdigest()})
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    standardised = (picture / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    expected = averaging(original).predict(standardised.astype(np.float32), verbose=0)
    found = vgg.torchvision().predict(picture, verbose=0)
    assert [features.shape[-1] for features in found] == [64, 128, 256, 512, 512, 512]
    np.testing.assert_allclose(found[-1], expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_weights_that_cannot_be_had_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(**_: object) -> None:
        raise Exception("URL fetch failure on\n somewhere")

    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setattr(keras.applications, "VGG16", offline)
    vgg.loss_network.cache_clear()
    with pytest.raises(UserError, match=r"DATA_DIR: no folder .*; Keras's download: URL fetch failure on somewhere"):
        vgg.loss_network()


def test_other_weights_than_torchvision_s_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vgg16").mkdir()
    np.savez(tmp_path / "vgg16" / vgg.TORCHVISION_FILE, kernel=np.zeros((3, 3, 3, 64), np.float16))
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    with pytest.raises(SourceError, match=r"weights has SHA-256 .*, expected 3ab1ae419774"):
        vgg.torchvision()
