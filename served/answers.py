"""Answers as the model gives them: numbers as they come from the network, or files in base64 to what came as files."""

import binascii
import io
from typing import Any

import numpy as np
from PIL import Image

from .classes import likeliest
from .values import unpacked
from .volume_file import FIRST_BYTES, header, nifti_like

HEADER_CHARACTERS = 4 * (FIRST_BYTES // 3 + 1)  # of a file in base64, among which its header is


class Numbers:
    """Writes an answer as the network gives it."""

    def check(self, outputs: list[str]) -> None:
        """Sees to it that no output would be dropped."""
        if len(outputs) != 1:
            raise ValueError(f"the graph has the outputs {sorted(outputs)}, its answer is one")

    def values(self, outputs: dict[str, np.ndarray]) -> np.ndarray:
        """What is answered, of shape (N, ...), where this is the one output."""
        (output,) = outputs.values()
        return self.array(output)

    def array(self, output: np.ndarray) -> np.ndarray:
        """What is answered, of shape (N, ...) as the output is."""
        return output

    def asked(self, values: Any, params: dict[str, Any]) -> Any:
        """What is answered, in the way that is asked for."""
        return values

    def one(self, values: np.ndarray, sent: str | None) -> np.ndarray | str:
        """The answer (...) to the one item of `values` (1, ...), and where that came as a file, to the file."""
        first: np.ndarray = values[0]
        return first

    def together(self, answers: list[Any]) -> Any:
        """The answers to several items, each given by `one`."""
        return answers


class Probabilities(Numbers):
    """Writes a probability of each class, or where `labels` asks for it, the place of the likeliest one."""

    def asked(self, values: np.ndarray, params: dict[str, Any]) -> np.ndarray:
        return values.argmax(axis=1) if params.get("labels") else values


class Painted(Numbers):
    """Writes pictures, red, green and blue in 0..255: as whole numbers, or as PNG files in base64."""

    def array(self, output: np.ndarray) -> np.ndarray:
        return np.rint(output).clip(0, 255).astype(np.uint8)

    def one(self, values: np.ndarray, sent: str | None) -> np.ndarray | str:
        return super().one(values, sent) if sent is None else _png(values[0])


class Masks(Numbers):
    """Writes of each pixel the probability of each class, or to what came as a file a grey PNG file in base64, whose
    values are the likeliest classes."""

    def one(self, values: np.ndarray, sent: str | None) -> np.ndarray | str:
        return super().one(values, sent) if sent is None else _png(likeliest(values[0]))


class VolumeMasks(Numbers):
    """Writes of each voxel the probability of each class, or to what came as a NIfTI file one in base64 that lies where
    that does, whose values are the likeliest classes."""

    def one(self, values: np.ndarray, sent: str | None) -> np.ndarray | str:
        if sent is None:
            return super().one(values, sent)
        file = nifti_like(header(unpacked(sent[:HEADER_CHARACTERS])), likeliest(values[0]))
        return binascii.b2a_base64(file, newline=False).decode()


def _png(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)  # the next level takes twice as long
    return binascii.b2a_base64(buffer.getvalue(), newline=False).decode()


class Named:
    """Writes several answers, each under the name of its output.

    Args:
        writers: What writes each of them.
    """

    def __init__(self, writers: dict[str, Numbers]) -> None:
        self._writers = writers

    def check(self, outputs: list[str]) -> None:
        if sorted(outputs) != sorted(self._writers):
            raise ValueError(f"the graph has the outputs {sorted(outputs)}, its answer {sorted(self._writers)}")

    def values(self, outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: writer.array(outputs[name]) for name, writer in self._writers.items()}

    def asked(self, values: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        return {name: writer.asked(values[name], params) for name, writer in self._writers.items()}

    def one(self, values: dict[str, np.ndarray], sent: str | None) -> dict[str, np.ndarray | str]:
        return {name: writer.one(values[name], sent) for name, writer in self._writers.items()}

    def together(self, answers: list[Any]) -> Any:
        return {name: [answer[name] for answer in answers] for name in self._writers}
