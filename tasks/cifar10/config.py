"""Configurations of the cifar10 task's models."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.contract import Config, check_between, check_least, check_share


@dataclass(frozen=True)
class ImageConfig(Config):
    """Of every model here.

    Attributes:
        augment: Whether training images are flipped and translated.
        translation: The furthest that an image is moved along each axis, in pixels, from 0 to 31.
        weight_decay: Share of itself that every weight loses at a step, over the learning rate, at least 0. It is
            decoupled from the gradient (Loshchilov & Hutter 2019), as Keras does it.
    """

    augment: bool = True
    translation: int = 4
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_between(self, 0, 31, "translation")
        check_least(self, 0, "weight_decay")


@dataclass(frozen=True)
class CnnConfig(ImageConfig):
    """Of the plain convolutional network.

    Attributes:
        dropout: Share of the values left out before each of the dense layers in training, from 0 to below 1.
        batch_norm: Whether each convolution is normalised (Ioffe & Szegedy 2015).
        one_cycle: Whether the learning rate rises and falls instead of staying as it is.
    """

    augment: bool = False
    dropout: float = 0.0
    batch_norm: bool = False
    one_cycle: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(self, "dropout")


@dataclass(frozen=True)
class ResNetConfig(ImageConfig):
    """Of the residual network.

    Attributes:
        blocks: Residual blocks in each of its three stages, at least 1; the network has 6 × blocks + 2 layers.
        width: Filters in the first stage, at least 1; each further stage has twice as many.
    """

    blocks: int = 1
    width: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, 1, "blocks", "width")


@dataclass(frozen=True)
class FastConfig(ImageConfig):
    """Of the network that learns most in little time.

    Its images move less than those of the others, since what varies much is learnt in more epochs.

    Attributes:
        width: Filters of its first group, at least 1; the two others have four times as many.
    """

    translation: int = 2
    width: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, 1, "width")


CNN = CnnConfig(model="cnn", epochs=10, batch_size=64, learning_rate=1e-3)
RESNET = ResNetConfig(model="resnet", epochs=12, batch_size=128, learning_rate=0.2, weight_decay=5e-4)
FAST = FastConfig(model="fast", epochs=2, batch_size=256, learning_rate=1.0, weight_decay=3e-3)
