"""Questions about the network, to be asked with `-e compare -P task=hippocampus -P study=<name>`."""

from __future__ import annotations

from dataclasses import replace

from tasks.contract import Study
from tasks.hippocampus.config import UNET

STUDIES = {
    "augmentation": Study(
        question="Does it help to turn, scale and deform the training volumes, to vary their contrast, and to mirror?",
        variants={"none": replace(UNET, augment=False), "augmented": replace(UNET, mirror=False), "mirrored too": UNET},
        comparisons=(("augmented", "none"), ("mirrored too", "augmented")),
    ),
    "windows": Study(
        question="Is it better to learn from small patches, from nearly all of a volume, or from all of it?",
        variants={
            "24 voxels": replace(UNET, window=24),
            f"{UNET.window} voxels": UNET,
            "whole": replace(UNET, window=0),
        },
        timed=True,
    ),
    "size": Study(
        question="What do more filters or more levels buy, at what cost?",
        variants={
            "as it is": UNET,
            "half the filters": replace(UNET, filters=UNET.filters // 2),
            "twice the filters": replace(UNET, filters=2 * UNET.filters),
            "a level less": replace(UNET, depth=UNET.depth - 1),
        },
        timed=True,
    ),
}
