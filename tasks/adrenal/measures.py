"""How well glands are told apart: what classification has, and the AUC."""

from __future__ import annotations

import dataclasses

import numpy as np
from sklearn.metrics import roc_auc_score

from tasks import classification
from tasks.adrenal.data import LABELS
from tasks.contract import Scores, Split


def scores(split: Split, outputs: np.ndarray) -> Scores:
    """As `tasks.classification.scores` has them, with the probability of the second class."""
    found = classification.scores(LABELS, split, outputs)
    return dataclasses.replace(found, columns={**found.columns, "hyperplasia": outputs[:, 1]})


def metrics(scores: Scores) -> dict[str, float]:
    """As `tasks.classification.metrics` has them, with `auc`, the area under the ROC curve: the share of pairs of a
    hyperplastic and a normal gland in which the former gets the larger probability, in [0, 1]. Where there is one class
    only there is none.

    `accuracy` and `auc` are MedMNIST's ACC and AUC (medmnist.evaluator, task "binary-class").
    """
    targets = scores.columns["target_class"]
    found = classification.metrics(scores)
    if 0 < targets.mean() < 1:
        found["auc"] = float(roc_auc_score(targets, scores.columns["hyperplasia"]))
    return found
