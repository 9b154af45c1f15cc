"""Temperature scaling: a trained classifier is made as sure as it is right (Guo et al. 2017, section 4.2).

The logits are divided by one number, the temperature, which is fitted on the validation split. Which label is the
likeliest does not change. As the logits come from a dense layer, its weights are divided in their place: nothing is
added to the model, and whoever loads it gets calibrated probabilities.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from forms import reliability
from forms.outputs import Outputs
from tasks.contract import Split, Task, UserError, answered

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

MOST = 20.0  # times as sure, or as unsure, a model may be made
LEAST_PROBABILITY = 1e-30  # whose logarithm float32 still has


def check(task: Task, model: keras.Model) -> None:
    """
    Raises:
        UserError: There is nothing to calibrate, or it does not come from a dense layer.
    """
    if not task.answer.counted:
        raise UserError(f"calibrate=true is for probabilities of labels, which {task.name} does not answer.")
    for name in task.answer.counted:
        if last_dense(model, name) is None:
            raise UserError(
                "calibrate=true needs a softmax right after a Dense layer as the model's last, to divide the weights "
                f"of. The model {model.name} ends otherwise; leave it out."
            )


def calibrate(task: Task, model: keras.Model, validation: Split) -> dict[str, float]:
    """Calibrates a trained model, which `check` has let pass, in place.

    Returns:
        The temperature by the name of the output, which is empty where there is one.
    """
    # Keras takes long to begin, so it gets as much at once as may be in memory.
    predict = functools.partial(model.predict, batch_size=512, verbose=0)
    outputs = answered(validation.inputs, predict, most=len(validation))
    found = {}
    for name in task.answer.counted:
        found[name] = temperature(_output(outputs, name), _output(validation.targets, name))
        layer = last_dense(model, name)
        layer.set_weights([weights / found[name] for weights in layer.get_weights()])
    return found


def temperature(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """What the logits of probabilities (N, labels) have to be divided by for the least cross-entropy with the right
    classes (N,); above 1 where the model is too sure."""
    logits = np.log(np.maximum(probabilities, LEAST_PROBABILITY).astype(np.float64))
    rows = np.arange(len(targets))

    def cross_entropy(log_temperature: float) -> float:
        return float(-log_softmax(logits / np.exp(log_temperature), axis=1)[rows, targets].mean())

    return float(np.exp(minimize_scalar(cross_entropy, bounds=(-np.log(MOST), np.log(MOST)), method="bounded").x))


def metrics(temperatures: Mapping[str, float]) -> dict[str, float]:
    """The temperatures as a run's metrics."""
    return {f"temperature{name and '_'}{name}": value for name, value in temperatures.items()}


def diagrams(temperatures: Mapping[str, float], outputs: Outputs, targets: Outputs) -> Iterator[tuple[str, Figure]]:
    """Reliability before and after, a file name and a figure an output.

    Args:
        temperatures: As `calibrate` gives them.
        outputs: What the calibrated model answers, (N, labels) each.
        targets: The right classes (N,) each.
    """
    for name, value in temperatures.items():
        after, right = _output(outputs, name), _output(targets, name)
        correct = after.argmax(axis=1) == right
        models = {"before": (as_it_was(after, value).max(axis=1), correct), "calibrated": (after.max(axis=1), correct)}
        yield f"reliability{name and '_'}{name}.png", reliability.diagram(models)


def as_it_was(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """The probabilities (N, labels) before they were calibrated."""
    return softmax(temperature * np.log(np.maximum(probabilities, LEAST_PROBABILITY)), axis=1)


def last_dense(model: keras.Model, name: str) -> Any:
    """The dense layer whose outputs a softmax turns into the model's output of this name, which is empty where there is
    one; None where it comes about otherwise."""
    import keras

    if not getattr(model, "outputs", None):  # of a class of its own
        return None
    output = model.output[name] if name else model.outputs[0]  # Sequential has no `output` before it is called
    layer = output._keras_history.operation
    if isinstance(layer, keras.layers.Dense):
        return layer if layer.activation is keras.activations.softmax else None
    is_softmax = isinstance(layer, keras.layers.Softmax) or (
        isinstance(layer, keras.layers.Activation) and layer.activation is keras.activations.softmax
    )
    before = layer.input._keras_history.operation if is_softmax else None
    is_linear = isinstance(before, keras.layers.Dense) and before.activation is keras.activations.linear
    return before if is_linear else None


def _output(outputs: Outputs, name: str) -> np.ndarray:
    return outputs[name] if name else outputs
