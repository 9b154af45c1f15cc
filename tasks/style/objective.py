"""What a stylised picture is judged by (Gatys, Ecker & Bethge 2016, section 2)."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from tasks.style.vgg import loss_network

CONTENT_WEIGHT, STYLE_WEIGHT = 1.0, 5.0


class Objective:
    """Losses of pictures against the style of a painting and the content of photographs.

    Both are relative errors: the squared distance over the squared size of what is aimed at. So they are 0 for a
    perfect picture and about 1 for one that has nothing of it, of any size, in every layer and with either set of
    weights. This is equations 1 and 4 of the paper with its factors alpha and w so chosen, each Gram matrix divided by
    the number of its positions.

    Args:
        painting: (H, W, 3) in 0..255.
        content_weight: Factor of the content loss in the total, at least 0.
        style_weight: Factor of the style loss in the total, at least 0.
    """

    def __init__(
        self, painting: np.ndarray, content_weight: float = CONTENT_WEIGHT, style_weight: float = STYLE_WEIGHT
    ) -> None:
        self.network = loss_network()
        self.content_weight = content_weight
        self.style_weight = style_weight
        self._style = [gram(features) for features in self._features(painting[None])[:-1]]

    def content(self, photographs: Any) -> Any:
        """The features of photographs (N, H, W, 3) in 0..255 that `losses` compares with."""
        return self._features(photographs)[-1]

    def losses(self, content: Any, pictures: Any) -> tuple[Any, Any]:
        """Content loss and style loss of pictures, each (N,).

        Args:
            content: What `content` gave for the photographs that the pictures show.
            pictures: (N, H, W, 3) in 0..255.
        """
        *style, found = self._features(pictures)
        grams = zip(style, self._style, strict=True)
        errors = [relative_error(gram(features), wanted) for features, wanted in grams]
        return relative_error(found, content), sum(errors) / len(errors)

    def total(self, content_loss: Any, style_loss: Any) -> Any:
        """What is minimised (equation 7)."""
        return self.content_weight * content_loss + self.style_weight * style_loss

    def _features(self, pictures: Any) -> list[Any]:
        result: list[Any] = self.network(ops.cast(pictures, "float32"))
        return result


def gram(features: Any) -> Any:
    """How often features (N, H, W, C) come together, whatever the place: (N, C, C), the mean over positions of their
    products (equation 3)."""
    batch, height, width, channels = ops.shape(features)
    flat = ops.reshape(features, (batch, height * width, channels))
    return ops.matmul(ops.transpose(flat, (0, 2, 1)), flat) / ops.cast(height * width, flat.dtype)


def relative_error(found: Any, wanted: Any) -> Any:
    """Squared distance over the squared size of what is wanted, by example: (N, ...) to (N,)."""
    axes = tuple(range(1, len(found.shape)))
    distance = ops.sum(ops.square(found - wanted), axis=axes)
    return distance / (ops.sum(ops.square(wanted), axis=axes) + keras.config.epsilon())
