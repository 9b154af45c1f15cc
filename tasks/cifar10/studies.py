"""Questions about the networks, to be asked with `-e compare -P task=cifar10 -P study=<name>`."""

from __future__ import annotations

from dataclasses import replace

from tasks.cifar10.config import CNN
from tasks.contract import Study

REGULARIZED = replace(
    CNN, augment=True, batch_norm=True, dropout=0.15, one_cycle=True, learning_rate=3e-3, weight_decay=1e-2
)

STUDIES = {
    "regularization": Study(
        question="What closes the gap between training and validation of the plain network, at what cost?",
        variants={
            "none": CNN,
            "dropout 0.3": replace(CNN, dropout=0.3),
            "augmentation": replace(CNN, augment=True),
            "batch norm": replace(CNN, batch_norm=True),
            "all, one cycle": REGULARIZED,
        },
    ),
}
