"""VGG16, whose features say what is in a picture and how it is painted (Simonyan & Zisserman 2015).

Its ImageNet weights come in two sets, and each was trained on pixels prepared in its own way. Here the preparation is
the first layer of the network, so that the two cannot be mixed.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

from tasks.sources import Arrays, data_dir, first_of, keras_downloads, verified

STYLE_LAYERS = tuple(f"block{block}_conv1" for block in range(1, 6))
CONTENT_LAYER = "block5_conv2"
FIRST = "block1_conv1"
TORCHVISION_FILE = "vgg16_torchvision_notop_f16.npz"
# SHA-256 of all of them, flattened and in the order of their names.
DIGESTS = {"weights": "3ab1ae419774c13f517b97014b4e5a17d344d5e0335c6cac4348b886b3d198d6"}
# Of red, green and blue: torchvision's weights want values in 0..1 standardised, the authors' a mean taken off 0..255.
TORCHVISION_MEAN, TORCHVISION_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
OXFORD_MEAN = (123.68, 116.779, 103.939)


@functools.cache
def loss_network() -> keras.Model:
    """Pictures (N, H, W, 3), red, green and blue in 0..255, to the features of STYLE_LAYERS and of CONTENT_LAYER, each
    (N, height, width, channels). It is named after its weights and is not trained.

    Raises:
        UserError: The weights cannot be had.
    """
    sources = [("DATA_DIR", torchvision), ("Keras's download", oxford)]
    return first_of("the weights of VGG16", sources, f"vgg16/{TORCHVISION_FILE} in it")


def torchvision() -> keras.Model:
    """With torchvision's weights, as `$DATA_DIR/vgg16/` has them: float16, a kernel and a bias of each convolution.

    Raises:
        SourceError: They are not there, or are others.
    """
    with np.load(data_dir("vgg16") / TORCHVISION_FILE, allow_pickle=False) as archive:
        arrays: Arrays = {name: archive[name] for name in archive.files}
    verified({"weights": np.concatenate([arrays[name].ravel() for name in sorted(arrays)])}, DIGESTS)
    body = vgg16()
    for layer in convolutions(body):
        layer.set_weights([arrays[f"{layer.name}/{part}"].astype(np.float32) for part in ("kernel", "bias")])
    scale = [1 / (255 * std) for std in TORCHVISION_STD]
    offset = [-mean / std for mean, std in zip(TORCHVISION_MEAN, TORCHVISION_STD, strict=True)]
    return prepared(body, scale, offset, "vgg16_torchvision")


def oxford() -> keras.Model:
    """With the weights that Keras downloads and verifies, which are the authors' own.

    Raises:
        SourceError: They cannot be downloaded.
    """
    with keras_downloads():
        body = keras.applications.VGG16(include_top=False, weights="imagenet", input_shape=(None, None, 3))
    take_red_first(body)
    return prepared(body, 1.0, [-mean for mean in OXFORD_MEAN], "vgg16_oxford")


def take_red_first(body: keras.Model) -> None:
    """Turns a network for blue, green, red into one for red, green, blue."""
    kernel, bias = body.get_layer(FIRST).get_weights()
    body.get_layer(FIRST).set_weights([kernel[:, :, ::-1], bias])


def vgg16() -> keras.Model:
    """Its convolutions, with random weights."""
    return keras.applications.VGG16(include_top=False, weights=None, input_shape=(None, None, 3))


def convolutions(body: keras.Model) -> list[keras.Layer]:
    return [layer for layer in body.layers if isinstance(layer, layers.Conv2D)]


def prepared(body: keras.Model, scale: float | Sequence[float], offset: Sequence[float], name: str) -> keras.Model:
    """The network from pixels to features: each channel times `scale` plus `offset` is what `body` takes."""
    averaging = keras.models.clone_model(body, clone_function=average_pooling)
    averaging.set_weights(body.get_weights())
    inputs = keras.Input((None, None, 3))
    wanted = [averaging.get_layer(layer).output for layer in (*STYLE_LAYERS, CONTENT_LAYER)]
    features = keras.Model(averaging.inputs, wanted)(layers.Rescaling(scale, offset)(inputs))
    model = keras.Model(inputs, features, name=name)
    model.trainable = False
    return model


def average_pooling(layer: keras.Layer) -> keras.Layer:
    """A copy of the layer, in place of one that takes the largest value one that takes the mean, by which pictures
    come out better (Gatys, Ecker & Bethge 2016, section 2)."""
    if isinstance(layer, layers.MaxPooling2D):
        return layers.AveragePooling2D(layer.pool_size, layer.strides, name=layer.name)
    copy: keras.Layer = layer.from_config(layer.get_config())
    return copy
