"""What served items and answers are watched by: a few numbers of each, to see later whether others came than the model
was validated on."""

from collections.abc import Sequence

import numpy as np

Features = dict[str, np.ndarray]  # by name, one number an item (N,) float32
DISTANCE, ANSWER = "hidden layer, distance", "answer"


def of_values(items: np.ndarray) -> Features:
    """Of items (N, ...) of any shape, as they are fed to the network."""
    flat = items.reshape(len(items), -1).astype(np.float32)
    return {
        "mean": flat.mean(axis=1),
        "deviation": flat.std(axis=1),
        "least": flat.min(axis=1),
        "largest": flat.max(axis=1),
    }


def of_columns(items: np.ndarray, columns: Sequence[str]) -> Features:
    """Of rows of a table (N, columns): the columns themselves."""
    return {name: items[:, place].astype(np.float32) for place, name in enumerate(columns)}


def of_pictures(items: np.ndarray) -> Features:
    """Of pictures (N, height, width) or (N, height, width, 3) in 0..255.

    The light part is that which is lighter than the picture's mean. The centre of mass is where the light is, from 0
    (left, top) to 1. Sharpness is the root of the mean squared
    difference between neighbours, in 0..1 as the brightness is.
    """
    light = items.astype(np.float32) / 255
    grey = light.mean(axis=3) if light.ndim == 4 else light
    mean = grey.mean(axis=(1, 2))
    found = {
        "brightness": mean,
        "contrast": grey.std(axis=(1, 2)),
        "light part": (grey > mean[:, None, None]).mean(axis=(1, 2), dtype=np.float32),
        "centre of mass, across": _centre(grey.sum(axis=1)),
        "centre of mass, down": _centre(grey.sum(axis=2)),
        "sharpness": np.sqrt(_unlike(grey, 1) + _unlike(grey, 2)),
    }
    if light.ndim == 4:
        found |= {name: light[..., place].mean(axis=(1, 2)) for place, name in enumerate(("red", "green", "blue"))}
    return found


def _centre(mass: np.ndarray) -> np.ndarray:
    """Where the mass (N, places) has its centre, in 0..1; in the middle where there is none."""
    total = mass.sum(axis=1)
    moment = mass @ np.linspace(0, 1, mass.shape[1], dtype=np.float32)
    return np.where(total > 0, moment / np.where(total > 0, total, 1), np.float32(0.5))


def _unlike(grey: np.ndarray, axis: int) -> np.ndarray:
    """The mean squared difference between neighbours along an axis; 0 where there are none."""
    if grey.shape[axis] < 2:
        return np.zeros(len(grey), np.float32)
    return (np.diff(grey, axis=axis) ** 2).mean(axis=(1, 2))


class Hidden:
    """What is watched of the last hidden layer: its principal components, and what they leave over.

    Args:
        mean: Of the units on the validation split (units,).
        directions: Their principal directions there (components, units), orthonormal.
        deviations: Standard deviations along these (components,).
    """

    def __init__(self, mean: np.ndarray, directions: np.ndarray, deviations: np.ndarray) -> None:
        self.mean, self.directions, self.deviations = (
            np.asarray(values, np.float32) for values in (mean, directions, deviations)
        )

    def features(self, units: np.ndarray) -> Features:
        """Of the units' values (N, units)."""
        centred = units - self.mean
        along = centred @ self.directions.T
        # What a network was not trained on often lies off the few directions in which its inputs differed.
        left = np.maximum((centred**2).sum(axis=1) - (along**2).sum(axis=1), 0)
        components = along / self.deviations
        found = {f"hidden layer, component {place + 1}": one for place, one in enumerate(components.T)}
        return found | {DISTANCE: np.sqrt(left)}


def of_probabilities(probabilities: np.ndarray, labels: Sequence[str], output: str) -> Features:
    """Of the probabilities (N, labels) in an output, whose name is empty where there is one."""
    of = f"{output}: " if output else ""
    return {f"{of}probability of {label}": column for label, column in zip(labels, probabilities.T, strict=True)}


def of_answers(outputs: dict[str, np.ndarray], labels: dict[str, list[str]]) -> Features:
    """Of answers.

    Args:
        outputs: By name (N, ...).
        labels: Names of the classes whose probabilities an output has, by its name, which is empty where there is one.
    """
    found: Features = {}
    for name, values in outputs.items():
        output = name if name in labels else ""
        if output in labels:
            found |= of_probabilities(values, labels[output], output)
        elif values.ndim == 2 and len(outputs) == 1:  # a number, maybe with the ends of its interval
            found[ANSWER] = values[:, 0]
    return found
