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
        question="Does it help to mirror, turn and deform the training pictures?",
        variants={"none": replace(UNET, augment=False), "augmented": UNET},
    ),
    "skips": Study(
        question="What do the skip connections buy?",
        variants={"without": NO_SKIP, "with": UNET},
    ),
}
