"""Nuclei: which pixels of a fluorescence micrograph are of a nucleus, and how many nuclei there are."""

from forms.answers.mask import Mask
from forms.items.micrograph import Micrograph
from tasks.contract import Primary, Task, lazily
from tasks.nuclei.baseline import otsu
from tasks.nuclei.config import NO_SKIP, UNET
from tasks.nuclei.data import CLASSES, load
from tasks.nuclei.measures import metrics, scores
from tasks.nuclei.studies import STUDIES

TASK = Task(
    name="nuclei",
    summary="Find the nuclei in a fluorescence micrograph (Data Science Bowl 2018, BBBC038).",
    models={"unet": UNET, "unet_no_skip": NO_SKIP},
    load=load,
    build=lazily("tasks.nuclei.model:build"),
    fit=lazily("tasks.nuclei.training:fit"),
    scores=scores,
    metrics=metrics,
    figures=lazily("tasks.nuclei.figures:figures"),
    primary=Primary(name="dice", floor=0.88, margin=0.01, attainable=0.95),
    item=Micrograph(),
    answer=Mask(CLASSES, objects=True),
    limits=(
        "It knows nuclei that shine on a dark ground, as a fluorescence microscope shows them. Nuclei that are dark on "
        "a light ground, as in stained tissue, it does not find."
    ),
    latency_bound_ms=500.0,
    baseline=otsu,
    studies=STUDIES,
    tiny={"filters": 2, "depth": 2},
)
