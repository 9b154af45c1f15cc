"""How well pictures are stylised, and what they look like."""

from __future__ import annotations

import numpy as np
from keras import ops

from tasks import drawing
from tasks.contract import Figures, Scores, Split
from tasks.style.data import painting
from tasks.style.objective import Objective

BATCH_SIZE = 4
SHOWN = 6


def scores(split: Split, outputs: np.ndarray) -> Scores:
    """One row a picture (N, H, W, 3) in 0..255; the score is its total loss, and there is one slice."""
    objective = Objective(painting())
    losses = []
    for first in range(0, len(split), BATCH_SIZE):
        rows = slice(first, first + BATCH_SIZE)
        content = objective.content(split.targets[rows])
        losses.append(np.stack([ops.convert_to_numpy(loss) for loss in objective.losses(content, outputs[rows])]))
    content_loss, style_loss = np.concatenate(losses, axis=1).astype(np.float64)
    return Scores(
        score=objective.total(content_loss, style_loss),
        slice=np.full(len(split), "photographs"),
        columns={"content_loss": content_loss, "style_loss": style_loss},
    )


def metrics(scores: Scores) -> dict[str, float]:
    """Mean total loss ("loss"), content loss and style loss, each at least 0."""
    return {
        "loss": float(np.mean(scores.score)),
        "content_loss": float(np.mean(scores.columns["content_loss"])),
        "style_loss": float(np.mean(scores.columns["style_loss"])),
    }


def figures(split: Split, outputs: np.ndarray) -> Figures:
    """Photographs, each with the picture made of it."""
    shown = min(SHOWN, len(split))
    pairs = np.stack([split.inputs[:shown], outputs[:shown].astype(np.uint8)], axis=1).reshape(
        -1, *split.inputs.shape[1:]
    )
    captions = ["photograph", "stylised"] * shown
    yield "pictures.png", drawing.images(pairs, captions, "Photographs and the pictures made of them", columns=4)
