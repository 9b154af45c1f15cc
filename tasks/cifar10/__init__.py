"""CIFAR-10: recognise what is in a 32×32 photograph."""

from functools import partial

from forms.answers.labels import Labels
from forms.items.photograph import Photograph
from tasks.cifar10.config import CNN, FAST, RESNET
from tasks.cifar10.data import LABELS, load
from tasks.cifar10.studies import STUDIES
from tasks.classification import figures, metrics, scores
from tasks.contract import Primary, Task, lazily

TASK = Task(
    name="cifar10",
    summary="Recognise which of ten things is in a 32×32 photograph (CIFAR-10, Krizhevsky 2009).",
    models={"fast": FAST, "cnn": CNN, "resnet": RESNET},
    load=load,
    build=lazily("tasks.cifar10.model:build"),
    fit=lazily("tasks.cifar10.training:fit"),
    metrics=metrics,
    scores=partial(scores, LABELS),
    figures=partial(figures, LABELS),
    model_figures=lazily("tasks.cifar10.figures:figures"),
    # The best models known get 99.5 % (Dosovitskiy et al. 2021, table 2).
    primary=Primary(name="accuracy", floor=0.65, margin=0.005, attainable=0.995),
    item=Photograph(),
    answer=Labels(LABELS),
    limits=(
        "It knows ten things, each in the middle of its photograph; whatever else is shown gets the name of one of "
        "them. The photographs were found on the web before 2009, and are no fair sample of such things."
    ),
    studies=STUDIES,
    tiny={"width": 8, "blocks": 1},
)
