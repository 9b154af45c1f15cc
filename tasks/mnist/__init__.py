"""MNIST: recognise a handwritten digit in a 28×28 image."""

from functools import partial

from tasks.classification import figures, metrics, scores
from tasks.contract import Config, Picture, Presentation, Primary, Task, lazily
from tasks.mnist.data import load

LABELS = tuple("0123456789")

TASK = Task(
    name="mnist",
    summary="Recognise a handwritten digit in a 28×28 image (MNIST, LeCun et al. 1998).",
    models={
        "dense": Config(model="dense", epochs=5, batch_size=128, learning_rate=1e-3),
        "cnn": Config(model="cnn", epochs=5, batch_size=128, learning_rate=3e-3),
    },
    load=load,
    build=lazily("tasks.mnist.model:build"),
    metrics=metrics,
    scores=partial(scores, LABELS),
    figures=partial(figures, LABELS),
    primary=Primary(name="accuracy", floor=0.97, margin=0.003),
    presentation=Presentation(kind="labels", labels=LABELS, picture=Picture("ink", box=20 / 28)),
)
