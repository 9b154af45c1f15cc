"""The training loop that tasks share: `keras.Model.fit`, repeatable and resumable.

Everything random in an epoch follows from (seed, epoch) alone, so a run that stopped after an epoch and one that did
not see the same batches and the same dropout masks afterwards.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import keras
import numpy as np

from forms.outputs import Outputs, each
from tasks.contract import Config, Split, batches, bounded

MOST_STEPS_A_CALL = 32
VALIDATED_AT_ONCE = 512  # examples, unless they are large

# (inputs of a batch (B, ...), its targets, their places in the split (B,), epoch from 0) -> inputs and targets of the
# same shapes and types, as this epoch sees them. What it draws may depend on places and epoch alone.
Augment = Callable[[np.ndarray, Outputs, np.ndarray, int], tuple[np.ndarray, Outputs]]


class Batches(keras.utils.PyDataset):
    """The batches of a split, in its own order or in one that `begin` sets. The last ones may be smaller."""

    def __init__(self, split: Split, batch_size: int, augment: Augment | None = None) -> None:
        super().__init__()
        self._split = split
        self._batch_size = batch_size
        self._augment = augment
        self._epoch = 0
        self._places = batches(split.inputs, batch_size)

    def begin(self, epoch: int, generator: np.random.Generator) -> None:
        """Sets the order of the examples for an epoch."""
        self._epoch = epoch
        self._places = batches(self._split.inputs, self._batch_size, generator.permutation(len(self._split)))

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> tuple[np.ndarray, Outputs]:
        rows = self._places[index]
        inputs, targets = self._split.inputs[rows], each(lambda one: one[rows], self._split.targets)
        return self._augment(inputs, targets, rows, self._epoch) if self._augment else (inputs, targets)


def inputs_alone(vary: Callable[[np.ndarray, np.ndarray, int], np.ndarray]) -> Augment:
    """What varies inputs and leaves targets as they are: (inputs, places, epoch) -> inputs."""
    return lambda inputs, targets, rows, epoch: (vary(inputs, rows, epoch), targets)


class Reseed(keras.callbacks.Callback):
    """Sets the order of the examples and the state of every random layer at the start of each epoch."""

    def __init__(self, examples: Batches, seed: int) -> None:
        super().__init__()
        self._examples = examples
        self._seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        generator = np.random.default_rng([self._seed, epoch])
        self._examples.begin(epoch, generator)
        for variable in self.model.non_trainable_variables:
            if variable.path.endswith("seed_generator_state"):
                variable.assign([int(generator.integers(2**31)), 0])


def fit(
    model: keras.Model,
    train: Split,
    validation: Split,
    config: Config,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    initial_epoch: int = 0,
    augment: Augment | None = None,
) -> None:
    """Trains a compiled model in place.

    Args:
        model: A compiled model that takes `train.inputs`.
        train: Examples to learn from, shuffled every epoch.
        validation: Examples scored after every epoch, in order.
        config: `epochs`, `batch_size` and `seed` are used.
        callbacks: Called as by `keras.Model.fit`.
        initial_epoch: Epochs that the model has behind it already.
        augment: Varies the training examples from epoch to epoch.
    """
    if initial_epoch == 0:
        adapt(model, train)
    examples = Batches(train, config.batch_size, augment)
    # At one step a call, Python takes a third of an epoch of small steps; twenty calls are enough to watch it by.
    model.steps_per_execution = min(MOST_STEPS_A_CALL, max(1, len(examples) // 20))
    fuse(model.optimizer)
    model.optimizer.build(model.trainable_variables)  # Keras would do it while it traces the first step, and trace anew
    model.fit(
        examples,
        epochs=config.epochs,
        initial_epoch=initial_epoch,
        validation_data=Batches(validation, bounded(validation.inputs, VALIDATED_AT_ONCE)),
        shuffle=False,  # `examples` does it; Keras would draw from a global generator that a resumed run cannot restore
        verbose="auto" if sys.stdout.isatty() else 2,  # a bar for a person, a line an epoch for a log
        callbacks=[Reseed(examples, config.seed), *callbacks],
    )


def adapt(model: keras.Model, train: Split) -> None:
    """Has each Normalization layer learn its mean and variance from the training split, where it was not given them and
    has not been adapted yet. So `build` needs no data, and no other split has a part in what the model knows."""
    for layer in model.layers:
        if not isinstance(layer, keras.layers.Normalization) or layer.input_mean is not None:
            continue
        if np.any(keras.ops.convert_to_numpy(layer.adapt_mean)):
            continue
        before = keras.Model(model.inputs[0], layer.input)
        examples = Batches(train, bounded(train.inputs, VALIDATED_AT_ONCE))
        layer.adapt(before(examples[number][0]) for number in range(len(examples)))


def fuse(optimizer: keras.optimizers.Optimizer) -> None:
    """Makes each update of Adam one operation of TensorFlow's in place of Keras's ten, each of which walks all weights.

    In a network of dense layers they take half of a step. The arithmetic is the same, and so is what is saved with the
    model. Other optimizers and backends stay as they are; JAX fuses operations by itself.
    """
    fusible = type(optimizer) in (keras.optimizers.Adam, keras.optimizers.AdamW) and not optimizer.amsgrad
    if not fusible or keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    def update_step(gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        index = optimizer._get_variable_index(variable)
        step = tf.cast(optimizer.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=optimizer._momentums[index].value.handle,
            v=optimizer._velocities[index].value.handle,
            beta1_power=tf.pow(tf.cast(optimizer.beta_1, variable.dtype), step),
            beta2_power=tf.pow(tf.cast(optimizer.beta_2, variable.dtype), step),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=optimizer.beta_1,
            beta2=optimizer.beta_2,
            epsilon=optimizer.epsilon,
            grad=gradient,
        )

    optimizer.update_step = update_step


def one_cycle(config: Config, train_size: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Up to the peak rate over the first fifth of the steps, then down along a cosine (after Smith & Topin 2017).

    Args:
        config: `learning_rate` is the peak; `epochs`, `batch_size` and `train_examples` give the number of steps.
        train_size: Examples of the whole training split.
    """
    steps = config.epochs * -(-(config.train_examples or train_size) // config.batch_size)
    warmup = steps // 5
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=config.learning_rate / 10,
        warmup_target=config.learning_rate,
        warmup_steps=warmup,
        decay_steps=steps - warmup,
        alpha=0.01,
    )
