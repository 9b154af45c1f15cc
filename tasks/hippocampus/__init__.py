"""Hippocampus: which voxels of an MRI are of its anterior and of its posterior part."""

from forms.answers.volume_mask import VolumeMask
from forms.items.volume import Volume
from tasks.contract import Primary, Task, lazily
from tasks.hippocampus.config import UNET
from tasks.hippocampus.data import CLASSES, SPACING, load
from tasks.hippocampus.measures import metrics, scores
from tasks.hippocampus.studies import STUDIES

WINDOW = 64  # voxels of a side that are answered at once; the challenge's volumes are smaller
LEAST_DISTINCT = 16  # values of an MRI; the challenge's have 109 and more

TASK = Task(
    name="hippocampus",
    summary="Find the anterior and the posterior hippocampus in MRI (Medical Segmentation Decathlon, task 4).",
    models={"unet": UNET},
    load=load,
    build=lazily("tasks.hippocampus.model:build"),
    fit=lazily("tasks.hippocampus.training:fit"),
    scores=scores,
    metrics=metrics,
    figures=lazily("tasks.hippocampus.figures:figures"),
    # nnU-Net gets 0.90 and 0.89 in the challenge (Isensee et al. 2021).
    primary=Primary(name="dice", floor=0.8, margin=0.01, attainable=0.9),
    item=Volume("float32", any_size=True, window=WINDOW, spacing=SPACING[0], distinct=LEAST_DISTINCT),
    answer=VolumeMask(CLASSES),
    limits=(
        "It is no medical device. It knows T1-weighted MRI of 1 mm of adults, from one study, cut closely around one "
        "hippocampus; it does not find the hippocampus in a whole head. All of them are shaped as a left one; what a "
        "right one is like it knows from their mirror images alone."
    ),
    latency_bound_ms=1000.0,
    studies=STUDIES,
    tiny={"filters": 2, "depth": 2, "window": 24},
)
