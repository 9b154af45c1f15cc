"""Style: photographs painted in the manner of a painting, by optimisation or in a single pass."""

from forms.answers.picture import Picture
from forms.items.photograph import Photograph
from tasks.contract import Primary, Task, lazily
from tasks.style.config import FEED_FORWARD
from tasks.style.stylize import Stylize

TASK = Task(
    name="style",
    summary="Paint a photograph in the style of The Starry Night (Gatys et al. 2016, Johnson et al. 2016).",
    models={"feedforward": FEED_FORWARD},
    load=lazily("tasks.style.data:load"),
    build=lazily("tasks.style.model:build"),
    fit=lazily("tasks.style.training:fit"),
    scores=lazily("tasks.style.measures:scores"),
    metrics=lazily("tasks.style.measures:metrics"),
    figures=lazily("tasks.style.measures:figures"),
    primary=Primary(name="loss", floor=1.0, margin=0.01, attainable=0.3, higher_is_better=False, share=False),
    item=Photograph(any_size=True),
    answer=Picture(),
    limits=(
        "It knows one painting. What it makes of photographs of another kind than it learnt from was not measured."
    ),
    latency_bound_ms=1000.0,
    baseline=lazily("tasks.style.optimization:baseline"),
    own_steps={"stylize": Stylize},
    tiny={"width": 4, "blocks": 1},
)
