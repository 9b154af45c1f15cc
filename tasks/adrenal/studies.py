"""Questions about the networks, to be asked with `-e compare -P task=adrenal -P study=<name>`."""

from __future__ import annotations

from dataclasses import replace

from tasks.adrenal.config import LAB, MIRROR
from tasks.contract import Study

STUDIES = {
    "augmentation": Study(
        question="Does it help to learn from mirror images, and whom?",
        variants={
            "lab": LAB,
            "lab, mirrored": replace(LAB, augment=True),
            "mirror, plain": replace(MIRROR, augment=False),
            "mirror": MIRROR,
        },
    ),
    "resolution": Study(
        question="What is lost where a voxel is twice or four times as long?",
        variants={
            "28 voxels": MIRROR,
            "14 voxels": replace(MIRROR, coarse=2),
            "7 voxels": replace(MIRROR, coarse=4),
        },
    ),
    "balance": Study(
        question="Normal glands are 3.6 times as many: what does it change to count the others more in the loss?",
        variants={
            "as they are": MIRROR,
            "twice": replace(MIRROR, weight=2.0),
            "balanced": replace(MIRROR, weight=3.6),
        },
    ),
}
