"""Questions about the networks, to be asked with `-e compare -P task=nuclei -P study=<name>`."""

from __future__ import annotations

from dataclasses import replace

from tasks.contract import Study
from tasks.nuclei.config import NO_SKIP, UNET

STUDIES = {
    "losses": Study(
        question="Which loss gets the best Dice coefficient: cross-entropy, Dice itself or their sum?",
        variants={loss: replace(UNET, loss=loss) for loss in ("cross_entropy", "dice", "sum")},
        comparisons=(("dice", "cross_entropy"), ("sum", "cross_entropy"), ("sum", "dice")),
    ),
    "augmentation": Study(
        question="Does it help to mirror and turn the training pictures, and to deform them as well?",
        variants={
            "none": replace(UNET, augment=False),
            "mirrored, turned": UNET,
            "deformed as well": replace(UNET, elastic=3.0),
        },
        comparisons=(("mirrored, turned", "none"), ("deformed as well", "mirrored, turned")),
    ),
    "skips": Study(
        question="What do the skip connections buy?",
        variants={"without": NO_SKIP, "with": UNET},
    ),
}
