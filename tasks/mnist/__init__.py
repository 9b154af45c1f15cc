"""MNIST: recognise a handwritten digit in a 28×28 image."""

from functools import partial

from forms.answers.labels import Labels
from forms.items.ink import Ink
from tasks.classification import figures, metrics, scores
from tasks.contract import Primary, Task, lazily
from tasks.mnist.config import CNN, DENSE
from tasks.mnist.data import load
from tasks.mnist.studies import SEARCH, STUDIES

LABELS = tuple("0123456789")

TASK = Task(
    name="mnist",
    summary="Recognise a handwritten digit in a 28×28 image (MNIST, LeCun et al. 1998).",
    models={"dense": DENSE, "cnn": CNN},
    load=load,
    build=lazily("tasks.mnist.model:build"),
    metrics=metrics,
    scores=partial(scores, LABELS),
    figures=partial(figures, LABELS),
    # People misread about 0.2 % of such digits (Simard, LeCun & Denker 1993).
    primary=Primary(name="accuracy", floor=0.97, margin=0.003, attainable=0.998),
    item=Ink(box=20 / 28),
    answer=Labels(LABELS, ordered=True),
    limits=(
        "It knows single digits, written by people in the United States around 1990; letters, several digits and other "
        "scripts get the digit that they resemble most."
    ),
    studies=STUDIES,
    search=SEARCH,
)
