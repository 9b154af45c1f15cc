"""Six variants of a dense network one after another, as most introductions compare them. A yardstick.

python benchmarks/plain_study.py <mnist.npz>
"""

import sys

import mlflow
import numpy as np
from tensorflow import keras

with np.load(sys.argv[1]) as data:
    x_train, y_train = data["x_train"] / 255.0, data["y_train"]

L2 = keras.regularizers.L2(1e-4)
VARIANTS = {
    "adam": (keras.optimizers.Adam, {"dropout": 0.2}),
    "rmsprop": (keras.optimizers.RMSprop, {"dropout": 0.2}),
    "momentum": (lambda: keras.optimizers.SGD(momentum=0.9), {"dropout": 0.2}),
    "L2": (keras.optimizers.Adam, {"regularizer": L2}),
    "dropout 0.5": (keras.optimizers.Adam, {"dropout": 0.5}),
    "batch norm": (keras.optimizers.Adam, {"dropout": 0.2, "batch_norm": True}),
}


def build(dropout: float = 0.0, regularizer: keras.Regularizer | None = None, batch_norm: bool = False) -> keras.Model:
    layers = [
        keras.layers.Input((28, 28)),
        keras.layers.Flatten(),
        keras.layers.Dense(512, kernel_regularizer=regularizer),
    ]
    if batch_norm:
        layers.append(keras.layers.BatchNormalization())
    layers.append(keras.layers.Activation("relu"))
    if dropout:
        layers.append(keras.layers.Dropout(dropout))
    layers.append(keras.layers.Dense(10, activation="softmax"))
    return keras.Sequential(layers)


mlflow.set_experiment("plain-study")
for name, (optimizer, options) in VARIANTS.items():
    with mlflow.start_run(run_name=name):
        keras.utils.set_random_seed(1)
        mlflow.log_param("variant", name)
        mlflow.log_param("epochs", 10)
        mlflow.log_param("batch_size", 128)
        model = build(**options)
        model.compile(optimizer=optimizer(), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        history = model.fit(x_train, y_train, epochs=10, batch_size=128, validation_split=0.1, verbose=2).history
        mlflow.log_metric("val_loss", history["val_loss"][-1])
        mlflow.log_metric("val_accuracy", history["val_accuracy"][-1])
        mlflow.keras.log_model(model, name="model")
        print(f"RESULT {name}: {history['val_accuracy'][-1]:.4f}")
