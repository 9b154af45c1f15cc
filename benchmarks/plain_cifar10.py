"""The script that most introductions share: a small convolutional network on CIFAR-10 with Keras. Our yardstick.

python benchmarks/plain_cifar10.py <cifar10.npz>

Without a seed: with one, Keras 3.15 on TensorFlow shows the same batches in the same order in every epoch, which costs
this network four points of accuracy.
"""

import sys
import time

import numpy as np
from tensorflow import keras

with np.load(sys.argv[1]) as data:
    x_train, y_train, x_test, y_test = (data[name] for name in ("x_train", "y_train", "x_test", "y_test"))
x_train, x_test = x_train / 255.0, x_test / 255.0

model = keras.Sequential(
    [
        keras.layers.Input((32, 32, 3)),
        keras.layers.Conv2D(32, 3, activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(64, 3, activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Flatten(),
        keras.layers.Dense(512, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
started = time.perf_counter()
model.fit(x_train, y_train, epochs=10, batch_size=64, validation_split=0.1, verbose=2)
seconds = time.perf_counter() - started
test_loss, test_accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"fit {seconds:.1f} s, test accuracy {test_accuracy:.4f}")
