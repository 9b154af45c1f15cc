"""The script that most introductions share: a dense network on MNIST with Keras, logged to MLflow. Our yardstick.

python benchmarks/plain_mnist.py <mnist.npz>

Without a seed: with one, Keras 3.15 on TensorFlow shows the same batches in the same order in every epoch.
"""

import sys

import mlflow
import numpy as np
from tensorflow import keras

with np.load(sys.argv[1]) as data:
    x_train, y_train, x_test, y_test = (data[name] for name in ("x_train", "y_train", "x_test", "y_test"))
x_train, x_test = x_train / 255.0, x_test / 255.0

mlflow.set_experiment("plain-mnist")
with mlflow.start_run():
    mlflow.log_param("epochs", 5)
    mlflow.log_param("batch_size", 128)
    mlflow.log_param("dropout_rate", 0.2)
    model = keras.Sequential(
        [
            keras.layers.Input((28, 28)),
            keras.layers.Flatten(),
            keras.layers.Dense(512, activation="relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x_train, y_train, epochs=5, batch_size=128, validation_split=0.1, verbose=2)
    test_loss, test_accuracy = model.evaluate(x_test, y_test, verbose=0)
    mlflow.log_metric("test_loss", test_loss)
    mlflow.log_metric("test_accuracy", test_accuracy)
    mlflow.keras.log_model(model, name="model")
print(f"test accuracy {test_accuracy:.4f}")
