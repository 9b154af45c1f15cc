"""Configurations of the digits task's models."""

from tasks.contract import Config

DENSE = Config(model="dense", epochs=12, batch_size=32, learning_rate=2e-3)
LINEAR = Config(model="linear", epochs=20, batch_size=32, learning_rate=5e-3)
