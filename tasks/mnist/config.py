"""Configurations of the mnist task's models."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.contract import Config, UserError, check_least, check_share, unknown

OPTIMIZERS = ("adam", "rmsprop", "sgd", "momentum", "muon")


@dataclass(frozen=True)
class DenseConfig(Config):
    """Of the dense network.

    Attributes:
        optimizer: One of OPTIMIZERS; "momentum" is SGD with momentum 0.9.
        l2: Weight of the squared weights in the loss, at least 0.
        dropout: Share of the hidden units left out in training, from 0 to below 1.
        batch_norm: Whether the hidden layer is normalised (Ioffe & Szegedy 2015).
        accumulate: Batches whose mean gradient makes one step, at least 1.
    """

    optimizer: str = "adam"
    l2: float = 0.0
    dropout: float = 0.2
    batch_norm: bool = False
    accumulate: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.optimizer not in OPTIMIZERS:
            raise UserError(unknown("optimizer", self.optimizer, OPTIMIZERS))
        check_least(self, 0, "l2")
        check_share(self, "dropout")
        check_least(self, 1, "accumulate")


DENSE = DenseConfig(model="dense", epochs=5, batch_size=128, learning_rate=1e-3)
CNN = Config(model="cnn", epochs=5, batch_size=128, learning_rate=3e-3)
