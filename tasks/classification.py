"""Measures and pictures of single-label classification, for tasks whose model gives one probability per class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forms import reliability
from tasks.contract import Figures, Scores, Split


def metrics(scores: Scores) -> dict[str, float]:
    """Accuracy, cross-entropy ("loss"), macro F1 and expected calibration error.

    Args:
        scores: Rows as `scores` below gives them.

    Returns:
        `accuracy`, `f1_macro`, `calibration_error` in [0, 1] and `loss` in nats.
    """
    targets, predicted = scores.columns["target_class"], scores.columns["predicted_class"]
    return {
        "accuracy": float(np.mean(scores.score)),
        "loss": float(np.mean(scores.columns["cross_entropy"])),
        "f1_macro": f1_macro(confusion_matrix(targets, predicted, 1 + max(targets.max(), predicted.max()))),
        "calibration_error": reliability.calibration_error(scores.columns["confidence"], scores.score),
    }


def cross_entropy(targets: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """-log of the probability given to the right class, shape (N,), in nats; probabilities are kept above 1e-7."""
    return -np.log(np.clip(outputs[np.arange(len(targets)), targets].astype(np.float64), 1e-7, 1.0))


def confusion_matrix(targets: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts of shape (classes, classes): rows are the right class, columns the predicted one."""
    pairs = targets.astype(np.int64) * classes + predicted
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def f1_macro(confusion: np.ndarray) -> float:
    """Unweighted mean of the classes' F1; a class neither present nor predicted is left out."""
    seen = confusion.sum(axis=0) + confusion.sum(axis=1)
    present = seen > 0
    return float(np.mean(2 * np.diag(confusion)[present] / seen[present]))


def scores(labels: Sequence[str], split: Split, outputs: np.ndarray) -> Scores:
    """One row an example; the score is 1 where the prediction is right, the slice is the right class.

    Args:
        labels: Names of the classes.
        split: Its targets are class indices, shape (N,).
        outputs: Probabilities, shape (N, classes), rows sum to 1.
    """
    names = np.asarray(labels)
    predicted = outputs.argmax(axis=1)
    return Scores(
        score=(predicted == split.targets).astype(np.float64),
        slice=names[split.targets],
        columns={
            "predicted": names[predicted],
            "target_class": split.targets,
            "predicted_class": predicted,
            "confidence": outputs.max(axis=1),
            "cross_entropy": cross_entropy(split.targets, outputs),
        },
    )


def figures(labels: Sequence[str], split: Split, outputs: np.ndarray) -> Figures:
    """Confusion matrix, reliability diagram, recall by class and, of images of one size, those got most wrong."""
    from tasks import drawing  # Matplotlib takes half a second to import, promotion and serving draw nothing

    predicted = outputs.argmax(axis=1)
    confusion = confusion_matrix(split.targets, predicted, len(labels))
    yield "confusion_matrix.png", drawing.confusion(labels, confusion)
    yield "recall_by_class.png", drawing.recall_by_class(labels, confusion)
    yield "reliability.png", reliability.diagram({"model": (outputs.max(axis=1), predicted == split.targets)})
    shape = split.inputs.shape
    if len(shape) not in (3, 4) or None in shape or shape[3:] not in ((), (3,)):  # volumes have four sides, too
        return
    worst = np.argsort(-cross_entropy(split.targets, outputs))[:30]
    worst = worst[predicted[worst] != split.targets[worst]]
    captions = [f"{labels[split.targets[i]]} taken for {labels[predicted[i]]} ({outputs[i].max():.0%})" for i in worst]
    yield (
        "misclassified.png",
        drawing.images(split.inputs[worst], captions, "Most wrong: right class, prediction (confidence)"),
    )
